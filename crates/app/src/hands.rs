//! The deeds of one app's rollout: composed and checked, copied, sent, looked at, put back.

use std::time::{Duration, Instant};

use freehold_model::limits;
use freehold_recipe::{ReadLabels, Secret, Stack};
use freehold_rollout::{Gate, Look, Release, Settling, StopWhat};
use freehold_runtime::{Hands, ProbeTarget, look};
use freehold_swarm::{Deploy, Docker, RunningService, Seen, patience, settle};

use crate::composed::{Release as Prepared, app_labels, services};
use crate::release::LABEL;
use crate::source::Source;
use crate::{App, AppError, AppRelease, Places};

/// What does the deeds.
pub(crate) struct AppHands<'a> {
    pub(crate) places: &'a Places,
    pub(crate) app: &'a mut App,
    pub(crate) docker: &'a Docker,
    /// What is composed from; fetched only when a release has to be.
    pub(crate) source: Option<Source>,
    /// Whether what lint finds wrong is refused.
    pub(crate) lints: bool,
    /// Whether the stack is sent once more when it is not as it should be: whoever sent it was interrupted.
    pub(crate) sends_again: bool,
    /// The release that is rolled out. What is said of the app today is said of it, and not of one that is gone back to.
    pub(crate) target: Option<Release>,
    /// What has to be there to be gone back to before another release is prepared.
    pub(crate) good: Option<Release>,
    /// The way out of what went wrong last.
    pub(crate) hint: Option<String>,
    /// When the stack was sent.
    sent: Option<Instant>,
    /// When its tasks were first seen to run since then; what the last look found still red.
    settled: Option<Instant>,
    red: Option<Red>,
    /// Tasks that failed since, and when the last one was noticed.
    seen: Seen,
    failed: Option<(usize, Instant)>,
    /// What is told to people while it goes on.
    pub(crate) tell: &'a dyn Fn(&str),
}

/// A look that was red.
struct Red {
    reason: String,
    begun: Instant,
    /// How long the gate of its release may take.
    limit: Duration,
}

impl<'a> AppHands<'a> {
    pub(crate) fn new(
        places: &'a Places,
        app: &'a mut App,
        docker: &'a Docker,
        source: Option<Source>,
        tell: &'a dyn Fn(&str),
    ) -> Self {
        Self {
            places,
            app,
            docker,
            source,
            sends_again: false,
            good: None,
            hint: None,
            lints: true,
            sent: None,
            settled: None,
            red: None,
            target: None,
            seen: Seen::default(),
            failed: None,
            tell,
        }
    }

    /// What went wrong, as records keep it; the way out is kept for people.
    fn said(&mut self, error: &AppError) -> String {
        self.hint = error.hint();
        error.chain()
    }

    fn parse(release: &Release) -> Result<AppRelease, String> {
        AppRelease::parse(release.id()).ok_or_else(|| format!("`{release}` is no release of an app"))
    }

    fn kept(&self, release: &Release) -> Result<Prepared, String> {
        Ok(Prepared::of(self.app, &Self::parse(release)?))
    }

    fn stack(&self, release: &Release) -> Result<Option<Stack>, String> {
        self.kept(release)?.stack().map_err(|error| error.chain())
    }

    /// The stack of a release, composed anew where that is possible.
    fn composed(&mut self, release: &Release, lints: bool) -> Result<(Stack, Vec<Secret>), AppError> {
        let parsed = AppRelease::parse(release.id());
        let parsed = parsed.ok_or_else(|| AppError::EnvChanged { release: release.id().to_owned() })?;
        let prepared = Prepared::of(self.app, &parsed);
        // A work tree is of one release; the one that is gone back to comes from the mirror.
        let own = self.source.as_ref().filter(|source| source.has(&parsed, &self.app.env));
        if let Some(source) = own {
            return prepared.prepare(self.app, &parsed, source, self.docker, lints, self.tell);
        }
        let mirror = Source::Mirror(Box::new(self.places.mirror(&self.app.kind.recipe)?));
        prepared.prepare(self.app, &parsed, &mirror, self.docker, lints, self.tell)
    }

    /// Whether the tasks run for longer than the gate may take, and it never was green. The machine's own clock runs for the sum
    /// of both times. Only a look that began when the time was over tells: between two of a busy machine all of it may have passed.
    fn is_red_too_long(&mut self) -> bool {
        let since = *self.settled.get_or_insert_with(Instant::now);
        let is_late = |red: &Red| red.begun.saturating_duration_since(since) >= red.limit;
        self.sent.is_some() && self.red.as_ref().is_some_and(is_late)
    }

    /// Why tasks that run do not count yet: one of them failed a moment ago, and a crash loop runs between two crashes.
    fn failed_lately(&mut self) -> Option<String> {
        let count = self.seen.failures();
        if count > self.failed.map_or(0, |(known, _)| known) {
            self.failed = Some((count, Instant::now()));
        }
        let (count, at) = self.failed.filter(|_| self.sent.is_some())?;
        let calm = limits::SWARM_CALM;
        (at.elapsed() < calm).then(|| format!("{count} tasks have failed, the last one not {} s ago", calm.as_secs()))
    }

    /// What crashed says why; with its stack its log goes. It is told to whoever deploys and is no part of a record or an
    /// alert, for nobody knows what an app prints.
    fn tell_last_words(&self) {
        for service in self.seen.failed() {
            for line in self.docker.last_words(&self.app.stack, service) {
                (self.tell)(&format!("`{service}` said: {line}"));
            }
        }
    }

    /// Somebody may be taking the stack away at this moment: its ports would seem to be another's, and what goes last would go from
    /// under the new one.
    fn let_it_go(&self) -> Result<(), AppError> {
        if self.docker.services(&self.app.stack)?.is_empty() {
            self.halt()?;
        }
        Ok(())
    }

    /// Stops what runs. What it leaves (a network that others use) must not keep the stack from coming back.
    fn halt(&self) -> Result<(), AppError> {
        if let Some(left) = self.docker.halt(&self.app.stack)? {
            (self.tell)(&format!("left as it is: {left}"));
        }
        Ok(())
    }

    /// Makes sure that a release could be started again: what is kept of it is there, or can be composed now.
    pub(crate) fn keep(&mut self, release: &Release) -> Result<(), AppError> {
        if AppRelease::parse(release.id()).is_some_and(|parsed| Prepared::of(self.app, &parsed).document().exists()) {
            return Ok(());
        }
        // It runs, so what lint says of it comes too late.
        let composed = self.composed(release, false);
        let no_way = |source| AppError::NoWayBack { release: release.to_string(), source: Box::new(source) };
        composed.map(drop).map_err(no_way)
    }

    fn check(&mut self, release: &Release) -> Result<(), AppError> {
        self.docker.check_manager()?;
        self.let_it_go()?;
        if let Some(good) = self.good.take() {
            self.keep(&good)?;
        }
        let (stack, secrets) = self.composed(release, self.lints)?;
        let there = self.docker.secrets("")?;
        let is_there = |secret: &&Secret| there.iter().any(|one| one.name == secret.name);
        let names: Vec<String> =
            secrets.iter().filter(|secret| !is_there(secret)).map(|secret| secret.name.clone()).collect();
        if !names.is_empty() {
            let version = AppRelease::parse(release.id()).map(|release| release.version);
            let version = version.filter(|version| !version.ends_with("+U"));
            return Err(AppError::NoSecrets { domain: self.app.domain().to_owned(), version, names });
        }
        for network in stack.external_networks().values() {
            self.docker.check_network(network)?;
        }
        for config in stack.external_configs().values() {
            self.docker.check_config(config)?;
        }
        // Of several nodes another may have it.
        let is_alone = self.docker.cluster()?.nodes < 2;
        for volume in stack.external_volumes().values().filter(|_| is_alone) {
            self.docker.check_volume(volume)?;
        }
        let images = services(&stack).1;
        crate::room::check_for_images(self.docker, &images)?;
        crate::images::note_images(self.places, self.app, self.docker, &images)?;
        for image in images {
            if let Err(error) = self.docker.pull(&image) {
                if is_alone {
                    return Err(error.into());
                }
                (self.tell)(&format!("{}: left to the other nodes", error.chain()));
            }
        }
        if self.app.settings.stateful {
            let volumes = self.app.volumes(self.docker)?;
            volumes.iter().try_for_each(freehold_swarm::Volume::check_can_be_put_back)?;
            self.app.snapshots().check_room(self.docker, &volumes)?;
        }
        Ok(())
    }

    fn send(&mut self, release: &Release) -> Result<(), AppError> {
        let (stack, _) = match self.kept(release).map(|kept| kept.stack()) {
            Ok(Ok(Some(stack))) => (stack, Vec::new()),
            // What lint says kept it from being prepared; on the way back it must not.
            _ => self.composed(release, false)?,
        };
        // Whoever was to be waited for was waited for; to stay down would be worse.
        if let Err(error) = self.let_it_go() {
            (self.tell)(&format!("going on: {}", error.chain()));
        }
        let running = self.docker.services(&self.app.stack)?;
        (self.seen, self.failed) = (Seen::default(), None);
        self.sent = Some(Instant::now());
        (self.settled, self.red) = (None, None);
        let (names, _) = services(&stack);
        let is_ours = |name: &String| running.iter().any(|one| one.name == *name && is_of(self.app, one, release));
        // Docker touches every service of a stack, also when nothing is other than before.
        if names.iter().all(is_ours) {
            return self.remove_others(&running, &names);
        }
        let file = Prepared::of(self.app, &AppRelease::parse(release.id()).unwrap_or_else(none)).document();
        // Registries are asked for digests only when one may know an image: asking takes its time, most of all where none answers.
        let mut resolve_image = "never";
        for image in services(&stack).1 {
            if self.docker.is_from_registry(&image)? {
                resolve_image = "changed";
            }
        }
        let deploy = Deploy { stack: &self.app.stack, file: &file, prune: false, resolve_image };
        self.docker.deploy(&deploy)?;
        self.remove_others(&running, &names)
    }

    /// Removes services that a release does not have: they would run on unseen.
    fn remove_others(&self, running: &[RunningService], names: &[String]) -> Result<(), AppError> {
        for service in others(running, names) {
            self.docker.remove_service(&self.app.stack, &service.name)?;
        }
        Ok(())
    }
}

/// Services of other releases: their label says that they are ours.
fn others<'s>(running: &'s [RunningService], names: &'s [String]) -> impl Iterator<Item = &'s RunningService> {
    running.iter().filter(|one| !names.contains(&one.name) && one.labels.contains_key(LABEL))
}

fn none() -> AppRelease {
    AppRelease { version: String::new(), commit: String::new(), env: String::new() }
}

/// Whether a service is as this release sent it, or as abra sent the same version.
pub(crate) fn is_of(app: &App, service: &RunningService, release: &Release) -> bool {
    match service.labels.get(LABEL) {
        Some(label) => label == release.id(),
        None => AppRelease::parse(release.id()).is_some_and(|wanted| {
            let labels = service.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let read = ReadLabels::of(&app.stack, labels);
            // Only the service `app` has them.
            service.name != freehold_recipe::APP_SERVICE || read.deployed() == Some(&wanted.version)
        }),
    }
}

impl Hands for AppHands<'_> {
    fn prepare(&mut self, release: &Release) -> Result<(), String> {
        let checked = self.check(release);
        checked.map_err(|error| self.said(&error))
    }

    fn stop(&mut self, what: &StopWhat) -> Result<(), String> {
        match what {
            // One stack has one release: what is not the new one was replaced by it.
            StopWhat::AllBut(_) => Ok(()),
            // It is started again soon.
            StopWhat::Running => self.halt().map_err(|error| error.chain()),
            StopWhat::Workload => self.docker.undeploy(&self.app.stack).map_err(|error| error.chain()),
        }
    }

    fn activate(&mut self, release: &Release) -> Result<(), String> {
        let sent = self.send(release);
        sent.map_err(|error| self.said(&error))
    }

    fn settle(&mut self, release: &Release) -> Settling {
        let looked = self.docker.services(&self.app.stack).map_err(|error| error.chain());
        let services_seen = match looked {
            Ok(services) => services,
            Err(reason) => return Settling::Busy { reason },
        };
        let wanted = match self.stack(release) {
            Ok(Some(stack)) => services(&stack).0,
            // Somebody else's deploy of the same version: what runs is all there is to know.
            Ok(None) if app_labels(&services_seen).contains_key(LABEL) => {
                return Settling::Broken { reason: format!("what was composed for `{release}` is gone") };
            }
            Ok(None) => services_seen.iter().map(|service| service.name.clone()).collect(),
            Err(reason) => return Settling::Broken { reason },
        };
        if wanted.is_empty() {
            return Settling::Broken { reason: format!("nothing of the stack `{}` runs", self.app.stack) };
        }
        let app = &*self.app;
        let is_ours = |service: &RunningService| is_of(app, service, release);
        let settled = settle(&services_seen, &wanted, &is_ours, Instant::now(), &mut self.seen);
        let limit = patience(Duration::from_secs(u64::from(self.app.settings.timeout_seconds)), &services_seen);
        // Whoever was interrupted may also not have come to remove what the release has no longer.
        let is_half = matches!(settled, Settling::Broken { .. }) || others(&services_seen, &wanted).next().is_some();
        if is_half && std::mem::take(&mut self.sends_again) {
            return match self.send(release) {
                Ok(()) => Settling::Busy { reason: "it was sent again after an interruption".to_owned() },
                Err(error) => Settling::Broken { reason: self.said(&error) },
            };
        }
        let lately = self.failed_lately();
        let settled = match (settled, lately) {
            (Settling::Settled, Some(reason)) => Settling::Busy { reason },
            (settled, _) => settled,
        };
        let settled = match settled {
            Settling::Busy { reason } if self.sent.is_some_and(|sent| sent.elapsed() >= limit) => {
                Settling::Broken { reason: format!("{reason} after {} s", limit.as_secs()) }
            }
            Settling::Settled if self.is_red_too_long() => {
                Settling::Broken { reason: self.red.take().map(|red| red.reason).unwrap_or_default() }
            }
            settled => settled,
        };
        if matches!(settled, Settling::Broken { .. }) {
            self.tell_last_words();
        }
        settled
    }

    fn probe(&mut self, release: &Release, gate: &Gate) -> Look {
        let env = vec![("FREEHOLD_RELEASE".to_owned(), release.id().to_owned())];
        let target = ProbeTarget { env, ..ProbeTarget::default() };
        let is_back = self.target.as_ref().is_some_and(|target| !target.is(release));
        let gates = std::iter::once(gate).chain(self.app.settings.probes.iter().filter(|_| !is_back));
        let (begun, limit) = (Instant::now(), self.app.settings.own_time(gate));
        for gate in gates {
            if let Look::Red { reason } = look(gate, &target) {
                self.red = Some(Red { reason: reason.clone(), begun, limit });
                return Look::Red { reason };
            }
        }
        self.red = None;
        Look::Green
    }

    fn switch_routes(&mut self, _: &Release) -> Result<(), String> {
        Ok(())
    }

    fn drain(&mut self, _: &Release) -> Result<(), String> {
        Ok(())
    }

    fn commit(&mut self, release: &Release, prune: &[Release]) -> Result<(), String> {
        let version = Self::parse(release)?.version;
        self.app.pin(self.places, &version).map_err(|error| error.chain())?;
        for old in prune {
            self.kept(old)?.forget().map_err(|error| error.chain())?;
        }
        Ok(())
    }

    fn snapshot(&mut self, name: &str) -> Result<(), String> {
        let make = || -> Result<(), AppError> {
            let volumes = self.app.volumes(self.docker)?;
            self.app.snapshots().make(self.docker, name, &volumes).map(drop)
        };
        make().map_err(|error| error.chain())
    }

    fn restore(&mut self, name: &str) -> Result<(), String> {
        self.app.snapshots().restore(self.docker, name).map(drop).map_err(|error| error.chain())
    }

    fn prune_snapshots(&mut self, names: &[String]) -> Result<(), String> {
        names.iter().try_for_each(|name| self.app.snapshots().remove(name)).map_err(|error| error.chain())
    }
}
