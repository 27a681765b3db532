//! One service of a round: decided, carried out by a runtime, a router and a store, and looked at afterwards.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use freehold_cache::pull;
use freehold_manifest::{HttpRoute, Runtime as Kind, Service};
use freehold_nar::StorePath;
use freehold_rollout::{
    Alert, Decision, Declared, Entry, Gate, Look, Outcome, Release, Running, Settling, StopWhat, Strategy, Wish, decide,
};
use freehold_runtime::{
    Hands, Instance, ProbeTarget, RecordFile, Runtime, RuntimeError, ServiceRelease, Told, carry, look,
};

use crate::agent::Shared;
use crate::{Route, ServiceState};

/// Moves a workload to what is declared of it, or stops it; `None` when the agent is to stop first.
pub(crate) fn converge(shared: &Shared, name: &str, service: Option<&Service>) -> Option<ServiceState> {
    let declared = service.map(|service| service.artifact.store_path.clone());
    match attempt(shared, name, service) {
        Ok(state) => state,
        Err(reason) => Some(ServiceState {
            name: name.to_owned(),
            action: Outcome::Failed,
            running: running_path(&shared.observe(name).unwrap_or_default()),
            declared,
            healthy: false,
            reason: Some(reason),
            alert: None,
        }),
    }
}

fn attempt(shared: &Shared, name: &str, service: Option<&Service>) -> Result<Option<ServiceState>, String> {
    let chain = |error: RuntimeError| error.chain();
    let file = shared.records.lock(name).map_err(chain)?;
    let declared = match service {
        None => None,
        Some(service) => {
            let started = ServiceRelease::of(service, shared.default_kind());
            shared.runtime(started.runtime)?;
            Some(Declared {
                release: started.to_release(name).map_err(chain)?,
                policy: service.policy.unwrap_or_default(),
                versions: Vec::new(),
                settings: ServiceRelease::settings(service),
            })
        }
    };
    let mut last = None;
    // What was interrupted is finished first; what is declared is decided on after that.
    for resumed in [false, true] {
        let record = file.read().map_err(chain)?;
        let instances = shared.observe(name).map_err(chain)?;
        let wish = Wish { declared: declared.clone(), retry: shared.options.retry, take_over: false, resumed };
        let decision = decide(&wish, &record, &running(&instances));
        if resumed && !decision.changes() {
            break;
        }
        let resumes = decision == Decision::Resume;
        let strategy = declared.as_ref().map_or(Strategy::Restart, |declared| declared.settings.strategy);
        let http = service.and_then(|service| service.http.clone());
        let mut hands = ServiceHands { shared, name, strategy, http };
        let mut told = ServiceTold { shared, name };
        let Some(report) = carry(&file, decision, &mut hands, &mut told, &shared.stop).map_err(chain)? else {
            return Ok(None);
        };
        last = Some(report);
        if !resumes {
            break;
        }
    }
    let Some(report) = last else { return Ok(None) };
    let instances = shared.observe(name).map_err(chain)?;
    let state = ServiceState {
        name: name.to_owned(),
        action: report.outcome,
        declared: service.map(|service| service.artifact.store_path.clone()),
        running: running_path(&instances),
        healthy: is_healthy(&file, report.outcome, &instances),
        reason: report.reason,
        alert: file.read().ok().and_then(|record| record.alert),
    };
    if service.is_none() && instances.is_empty() {
        shared.let_go(name)?;
        file.forget().map_err(chain)?;
    }
    Ok(Some(state))
}

/// Whether what runs was found in order.
fn is_healthy(file: &RecordFile, outcome: Outcome, instances: &[Instance]) -> bool {
    match outcome {
        Outcome::Failed => false,
        Outcome::Stopped => instances.is_empty(),
        _ => !instances.is_empty() || file.read().is_ok_and(|record| record.last_good.is_none()),
    }
}

fn running(instances: &[Instance]) -> Running {
    match instances.first() {
        None => Running::Nothing,
        Some(Instance { release: Some(release), .. }) => Running::Release(release.clone()),
        Some(foreign) => Running::Foreign { what: foreign.text.clone() },
    }
}

fn running_path(instances: &[Instance]) -> Option<String> {
    let release = instances.first()?.release.as_ref()?;
    ServiceRelease::from_release(release).ok().map(|service| service.artifact.store_path)
}

/// The deeds of one service's rollout.
struct ServiceHands<'a> {
    shared: &'a Shared,
    name: &'a str,
    strategy: Strategy,
    http: Option<HttpRoute>,
}

impl ServiceHands<'_> {
    fn runtime_of(&self, release: &Release) -> Result<(ServiceRelease, Arc<dyn Runtime>), String> {
        let service = ServiceRelease::from_release(release).map_err(|error| error.chain())?;
        let runtime = self.shared.runtime(service.runtime)?;
        Ok((service, runtime))
    }

    /// The port that this release listens on: the instance's own, or the declared one.
    fn port(&self, release: &Release) -> Option<u16> {
        let instances = self.shared.observe(self.name).unwrap_or_default();
        let instance = instances.iter().find(|i| i.release.as_ref().is_some_and(|running| running.is(release)));
        let declared = || ServiceRelease::from_release(release).ok().and_then(|service| service.port);
        instance.and_then(|instance| instance.port).or_else(declared)
    }
}

impl Hands for ServiceHands<'_> {
    fn prepare(&mut self, release: &Release) -> Result<(), String> {
        let (service, runtime) = self.runtime_of(release)?;
        self.shared.fetch(self.name, &service.artifact.store_path)?;
        runtime.check(self.name, release).map_err(|error| error.chain())
    }

    fn stop(&mut self, what: &StopWhat) -> Result<(), String> {
        for (_, runtime) in &self.shared.options.runtimes {
            runtime.stop(self.name, what).map_err(|error| error.chain())?;
        }
        Ok(())
    }

    fn activate(&mut self, release: &Release) -> Result<(), String> {
        let (service, runtime) = self.runtime_of(release)?;
        // A rollback finds the closure here: its root is kept as long as it may be wanted.
        for (kind, other) in &self.shared.options.runtimes {
            if *kind != service.runtime && self.strategy == Strategy::Restart {
                other.stop(self.name, &StopWhat::Running).map_err(|error| error.chain())?;
            }
        }
        runtime.activate(self.name, release, self.strategy).map_err(|error| error.chain())
    }

    fn settle(&mut self, release: &Release) -> Settling {
        match self.runtime_of(release) {
            Ok((_, runtime)) => runtime.settle(self.name, release),
            Err(reason) => Settling::Broken { reason },
        }
    }

    fn probe(&mut self, release: &Release, gate: &Gate) -> Look {
        look(gate, &ProbeTarget { port: self.port(release), ..ProbeTarget::default() })
    }

    fn switch_routes(&mut self, to: &Release) -> Result<(), String> {
        let (Some(router), Some(http)) = (&self.shared.options.router, &self.http) else { return Ok(()) };
        let port = self.port(to).unwrap_or(http.internal_port);
        match router.switch(&route(self.name, http, port)) {
            // With one instance nothing is lost when the route comes later: the round's end tries again, and tells.
            Err(_) if self.strategy == Strategy::Restart => Ok(()),
            result => result,
        }
    }

    fn drain(&mut self, release: &Release) -> Result<(), String> {
        match (&self.shared.options.router, self.port(release)) {
            (Some(router), Some(port)) => router.drain(port),
            _ => Ok(()),
        }
    }

    fn commit(&mut self, release: &Release, prune: &[Release]) -> Result<(), String> {
        let (service, runtime) = self.runtime_of(release)?;
        runtime.commit(self.name, release).map_err(|error| error.chain())?;
        self.shared.keep(self.name, &service.artifact.store_path, prune)
    }

    fn snapshot(&mut self, _: &str) -> Result<(), String> {
        Err("services have no data of their own to copy".to_owned())
    }

    fn restore(&mut self, _: &str) -> Result<(), String> {
        Err("services have no data of their own to restore".to_owned())
    }

    fn prune_snapshots(&mut self, _: &[String]) -> Result<(), String> {
        Ok(())
    }
}

/// The route of a service to a port.
pub(crate) fn route(name: &str, http: &HttpRoute, port: u16) -> Route {
    let texts = |all: Vec<&str>| all.into_iter().map(str::to_owned).collect();
    Route { service: name.to_owned(), domains: texts(http.all_domains()), paths: texts(http.all_paths()), port }
}

struct ServiceTold<'a> {
    shared: &'a Shared,
    name: &'a str,
}

impl Told for ServiceTold<'_> {
    fn journal(&mut self, entry: &Entry) {
        self.shared.voice.say(Some(self.name), &entry.text);
    }

    fn alert(&mut self, alert: Option<&Alert>) {
        let result = match alert {
            Some(alert) => self.shared.alerts.raise(alert),
            None => self.shared.alerts.clear(self.name),
        };
        if let Err(error) = result {
            self.shared.voice.say(Some(self.name), &format!("the alert cannot be written: {}", error.chain()));
        }
    }
}

impl Shared {
    /// Everything that runs of a workload, on whichever runtime.
    pub(crate) fn observe(&self, name: &str) -> Result<Vec<Instance>, RuntimeError> {
        let mut found = Vec::new();
        for (_, runtime) in &self.options.runtimes {
            found.extend(runtime.observe(name)?);
        }
        Ok(found)
    }

    pub(crate) fn default_kind(&self) -> Kind {
        self.options.runtimes.first().map_or(Kind::Systemd, |(kind, _)| *kind)
    }

    fn runtime(&self, wanted: Kind) -> Result<Arc<dyn Runtime>, String> {
        let found = self.options.runtimes.iter().find(|(kind, _)| *kind == wanted);
        let word =
            serde_json::to_value(wanted).ok().and_then(|json| json.as_str().map(str::to_owned)).unwrap_or_default();
        found.map(|(_, runtime)| Arc::clone(runtime)).ok_or_else(|| format!("this host has no runtime `{word}`"))
    }

    /// Brings a closure into the store and keeps it there.
    fn fetch(&self, name: &str, path: &str) -> Result<(), String> {
        let root = StorePath::parse(path).map_err(|error| error.to_string())?;
        let staging = self.options.state.join("staging").join(root.hash_part());
        let stop: &AtomicBool = &self.stop;
        pull(&self.options.nix, self.options.board.depot(), &[root], &self.options.trusted, &staging, &|_| {}, stop)
            .map_err(|error| self.with_hint(crate::round::chain(&error), error.hint()))?;
        self.options.nix.add_root(path, &self.root_of(name, path)).map_err(|error| crate::round::chain(&error))
    }

    fn with_hint(&self, text: String, hint: Option<String>) -> String {
        match hint {
            Some(hint) => format!("{text} ({hint})"),
            None => text,
        }
    }

    /// Makes a committed release what the service's profile leads to, and lets go of what is no longer kept.
    fn keep(&self, name: &str, path: &str, prune: &[Release]) -> Result<(), String> {
        let text = |error: freehold_store::StoreError| crate::round::chain(&error);
        let profile = self.profile_of(name);
        self.options.nix.set_profile(&profile, path).map_err(text)?;
        for old in prune {
            let Ok(service) = ServiceRelease::from_release(old) else { continue };
            let is_kept = service.artifact.store_path == path;
            if !is_kept {
                let link = self.root_of(name, &service.artifact.store_path);
                self.options.nix.remove_root(&link).map_err(text)?;
            }
        }
        if prune.is_empty() { Ok(()) } else { self.options.nix.trim_profile(&profile, KEPT_VALUES).map_err(text) }
    }

    /// Lets go of everything in the store that was kept for a workload.
    fn let_go(&self, name: &str) -> Result<(), String> {
        let text = |error: freehold_store::StoreError| crate::round::chain(&error);
        self.options.nix.remove_profile(&self.profile_of(name)).map_err(text)?;
        let dir = self.roots().join(name);
        match fs_err::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
            _ => Ok(()),
        }
    }

    fn root_of(&self, name: &str, path: &str) -> PathBuf {
        let base = path.rsplit('/').next().unwrap_or(path);
        self.roots().join(name).join(base)
    }

    /// Where links that keep closures are: with Nix's own if we may write there, in our state otherwise.
    fn roots(&self) -> PathBuf {
        self.nix_state("gcroots/freehold").unwrap_or_else(|| self.options.state.join("gcroots"))
    }

    pub(crate) fn profile_of(&self, name: &str) -> PathBuf {
        self.nix_state("profiles/freehold").unwrap_or_else(|| self.options.state.join("profiles")).join(name)
    }

    fn nix_state(&self, part: &str) -> Option<PathBuf> {
        let state = std::env::var_os("NIX_STATE_DIR").unwrap_or_else(|| "/nix/var/nix".into());
        let dir = PathBuf::from(state).join(part);
        fs_err::create_dir_all(&dir).ok()?;
        tempfile_works(&dir).then_some(dir)
    }
}

/// Earlier values of a profile that are kept.
const KEPT_VALUES: u32 = 5;

/// Whether files can be made in this directory.
fn tempfile_works(dir: &std::path::Path) -> bool {
    let probe = dir.join(format!(".freehold-{}", std::process::id()));
    let works = fs_err::write(&probe, b"").is_ok();
    // Made or not, it is not to stay.
    let _ = fs_err::remove_file(&probe);
    works
}
