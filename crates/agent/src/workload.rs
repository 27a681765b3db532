//! One service of a round: decided, carried out by a runtime, a router and a store, and looked at afterwards.

use std::collections::BTreeSet;
use std::sync::Arc;

use freehold_manifest::{Runtime as Kind, Service};
use freehold_model::limits;
use freehold_rollout::{
    Alert, Decision, Declared, Entry, Gate, Look, Outcome, Record, Release, Report, Running, Settings, Settling,
    StopWhat, Strategy, Wish, decide,
};
use freehold_runtime::{
    Fingerprint, Hands, Instance, RecordFile, Runtime, RuntimeError, ServiceRelease, Told, carry_from, look,
};

use crate::ServiceState;
use crate::agent::Shared;
use crate::leaving::Leaving;
use crate::routes::instance_of;
use crate::standing::{Standing, target};
use crate::turnstile::Coming;

/// What a round has made of a workload.
#[derive(Clone)]
pub(crate) struct Converged {
    pub(crate) state: ServiceState,
    /// The port, if any, of one that runs as declared and that nothing had to be done to; `None` for all others, whose records tell more.
    pub(crate) well_at: Option<Option<u16>>,
}

/// Moves a workload to what is declared of it; `None` when the agent is to stop first. Who leaves this round may have to make way for it.
pub(crate) fn converge(shared: &Shared, name: &str, service: &Service, leaving: &Leaving) -> Option<Converged> {
    bring(shared, name, Some(service), Some(leaving))
}

/// Stops a workload that nobody declares any more; `None` when the agent is to stop first.
pub(crate) fn end(shared: &Shared, name: &str) -> Option<Converged> {
    bring(shared, name, None, None)
}

fn bring(shared: &Shared, name: &str, service: Option<&Service>, leaving: Option<&Leaving>) -> Option<Converged> {
    let declared = service.map(|service| service.artifact.store_path.clone());
    shared.standings.put(name, None);
    let reason = match attempt(shared, name, service, leaving) {
        Ok(converged) => return converged,
        Err(reason) => reason,
    };
    shared.alert_failed(name, &reason);
    // What is declared cannot run: that says nothing of what does.
    let record = shared.records.read(name).ok();
    let good = record.as_ref().and_then(|record| record.last_good.as_ref());
    let state = ServiceState {
        name: name.to_owned(),
        action: Outcome::Failed,
        running: running_path(instance_of(&shared.observe(name).unwrap_or_default(), good)),
        declared,
        healthy: instance_of(&shared.observe(name).unwrap_or_default(), good)
            .is_some_and(|instance| service.is_some() && is_well(shared, name, instance, record.as_ref())),
        reason: Some(reason),
        taken_back: false,
        alert: shared.alerts.get(name).ok().flatten(),
    };
    Some(Converged { state, well_at: None })
}

/// What went wrong, in words. Whoever reads the alert is the one who can mend a record's file.
fn said(error: &RuntimeError) -> String {
    match (error, error.hint()) {
        (RuntimeError::Record { .. }, Some(hint)) => format!("{} ({hint})", error.chain()),
        _ => error.chain(),
    }
}

/// What was done about a workload.
struct Done {
    report: Report,
    /// What is declared, where that was found out.
    wanted: Option<Release>,
    /// How it stood when there was nothing to do, which it still does: a round of many services asks once for each.
    known: Option<(Vec<Instance>, Record, Option<Fingerprint>)>,
}

fn attempt(
    shared: &Shared,
    name: &str,
    service: Option<&Service>,
    leaving: Option<&Leaving>,
) -> Result<Option<Converged>, String> {
    let file = shared.records.lock(name).map_err(|error| said(&error))?;
    match carry_out(shared, name, service, leaving, &file)? {
        Some(done) => conclude(shared, name, service, file, done).map(Some),
        None => Ok(None),
    }
}

fn carry_out(
    shared: &Shared,
    name: &str,
    service: Option<&Service>,
    leaving: Option<&Leaving>,
    file: &RecordFile,
) -> Result<Option<Done>, String> {
    let coming = shared.turnstile.set_out();
    let mut last = None;
    let mut wanted = None;
    let mut known = None;
    // What was interrupted is finished first, also when what is declared now cannot run here; that is decided on after it.
    for resumed in [false, true] {
        let fingerprint = shared.records.fingerprint(name).filter(Fingerprint::is_settled);
        let record = file.read().map_err(|error| said(&error))?;
        let declared = match service {
            Some(service) if record.stage.is_settled() => Some(declared(shared, name, service)?),
            _ => None,
        };
        wanted = declared.as_ref().map(|declared| declared.release.clone());
        let instances = shared.observe(name).map_err(|error| said(&error))?;
        let wish = Wish { declared, retry: shared.options.retry, take_over: false, resumed, adopts: false };
        let decision = decide(&wish, &record, &running(instance_of(&instances, record.last_good.as_ref())));
        if resumed && !decision.changes() {
            break;
        }
        let resumes = decision == Decision::Resume;
        let settings = match &decision {
            Decision::Start { settings, .. } => settings.clone(),
            _ => record.settings.clone(),
        };
        let is_quiet = matches!(decision, Decision::Nothing { .. } | Decision::Held { .. });
        let changes_nothing = matches!(decision, Decision::Nothing { adopt: None, .. }) && record.alert.is_none();
        let mut hands = ServiceHands { shared, name, settings, coming: &coming, leaving };
        let mut told = ServiceTold { shared, name };
        let Some(report) = carry_from(file, record.clone(), decision, &mut hands, &mut told, &shared.stop) else {
            return Ok(None);
        };
        if !is_quiet {
            shared.sweep(name, &file.read().map_err(|error| said(&error))?)?;
        }
        known = (changes_nothing && report.outcome == Outcome::None).then_some((instances, record, fingerprint));
        last = Some(report);
        if !resumes {
            break;
        }
    }
    Ok(last.map(|report| Done { report, wanted, known }))
}

/// How the workload stands now.
fn conclude(
    shared: &Shared,
    name: &str,
    service: Option<&Service>,
    file: RecordFile,
    done: Done,
) -> Result<Converged, String> {
    let Done { report, wanted, known } = done;
    let is_known = known.is_some();
    let (instances, record, fingerprint) = match known {
        Some(known) => known,
        None => (shared.observe(name).map_err(|error| said(&error))?, file.read().map_err(|error| said(&error))?, None),
    };
    shared.alert_as_recorded(name, &record);
    let wanted = wanted.or_else(|| service.and_then(|service| release_of(shared, name, service).ok()));
    let instance = instance_of(&instances, record.last_good.as_ref());
    let healthy = match report.outcome {
        // A release that could not be prepared has touched nothing: that says nothing of what runs.
        Outcome::Failed => instance.is_some_and(|instance| is_well(shared, name, instance, Some(&record))),
        _ => instances.is_empty() == service.is_none(),
    };
    let state = ServiceState {
        name: name.to_owned(),
        action: report.outcome,
        declared: service.map(|service| service.artifact.store_path.clone()),
        running: running_path(instance),
        healthy,
        reason: report.reason,
        taken_back: wanted.is_some_and(|release| record.taken_back(&release).is_some()),
        alert: record.alert,
    };
    let mut well_at = None;
    if let (Some(service), Some(good)) = (service, &record.last_good)
        && is_known
        && state.is_well()
    {
        let port = instance_of(&instances, Some(good)).and_then(|instance| instance.port);
        well_at = Some(port.or_else(|| service.http.as_ref().map(|http| http.internal_port)));
        shared.standings.put(name, fingerprint.and_then(|file| Standing::new(service, file, good, &state)));
    }
    if service.is_none() && instances.is_empty() {
        shared.let_go(name)?;
        file.forget().map_err(|error| said(&error))?;
    }
    Ok(Converged { state, well_at })
}

fn declared(shared: &Shared, name: &str, service: &Service) -> Result<Declared, String> {
    shared.runtime(ServiceRelease::of(service, shared.default_kind()).runtime)?;
    Ok(Declared {
        release: release_of(shared, name, service)?,
        policy: service.policy.unwrap_or_default(),
        versions: Vec::new(),
        settings: ServiceRelease::settings(service),
    })
}

fn release_of(shared: &Shared, name: &str, service: &Service) -> Result<Release, String> {
    ServiceRelease::of(service, shared.default_kind()).to_release(name).map_err(|error| error.chain())
}

/// Whether an instance of the last good release is in order, by the gate that it was found good by.
fn is_well(shared: &Shared, name: &str, instance: &Instance, record: Option<&Record>) -> bool {
    let Some((record, release)) = record.zip(instance.release.as_ref()) else { return false };
    let is_good = record.stage.is_settled() && record.last_good.as_ref().is_some_and(|good| good.is(release));
    let Some(service) = ServiceRelease::from_release(release).ok().filter(|_| is_good) else { return false };
    let gate = record.good_gate.as_ref().unwrap_or(&record.settings.gate);
    let runtime = shared.runtime(service.runtime);
    let seen = || look(gate, &target(release, instance.port.or(service.port)));
    runtime.is_ok_and(|runtime| runtime.settle(name, release) == Settling::Settled)
        && (!gate.looks() || seen() == Look::Green)
}

fn running(instance: Option<&Instance>) -> Running {
    match instance {
        None => Running::Nothing,
        Some(Instance { release: Some(release), .. }) => Running::Release(release.clone()),
        Some(foreign) => Running::Foreign { what: foreign.text.clone() },
    }
}

fn running_path(instance: Option<&Instance>) -> Option<String> {
    let release = instance?.release.as_ref()?;
    ServiceRelease::from_release(release).ok().map(|service| service.artifact.store_path)
}

/// The deeds of one service's rollout.
struct ServiceHands<'a> {
    shared: &'a Shared,
    name: &'a str,
    /// How this rollout goes, which a newer declaration does not change.
    settings: Settings,
    /// Until it starts something for the first time.
    coming: &'a Coming<'a>,
    /// Who may have to make way for it first; nobody for one that leaves itself.
    leaving: Option<&'a Leaving>,
}

impl ServiceHands<'_> {
    fn runtime_of(&self, release: &Release) -> Result<(ServiceRelease, Arc<dyn Runtime>), String> {
        let service = ServiceRelease::from_release(release).map_err(|error| error.chain())?;
        let runtime = self.shared.runtime(service.runtime)?;
        Ok((service, runtime))
    }

    /// Whether no good release runs beside the one that is being started: no requests go elsewhere yet.
    fn is_first(&self) -> bool {
        self.shared.records.read(self.name).is_ok_and(|record| record.last_good.is_none())
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
            if *kind != service.runtime && self.settings.strategy == Strategy::Restart {
                other.stop(self.name, &StopWhat::Running).map_err(|error| error.chain())?;
            }
        }
        runtime.install(self.name, release, self.settings.strategy).map_err(|error| error.chain())?;
        self.coming.arrive(limits::AGENT_TOGETHER);
        if let Some(leaving) = self.leaving {
            leaving.make_way(self.shared, &service, &self.settings.gate, self.is_first());
        }
        runtime.activate(self.name, release, self.settings.strategy).map_err(|error| error.chain())
    }

    fn settle(&mut self, release: &Release) -> Settling {
        match self.runtime_of(release) {
            Ok((_, runtime)) => runtime.settle(self.name, release),
            Err(reason) => Settling::Broken { reason },
        }
    }

    fn probe(&mut self, release: &Release, gate: &Gate) -> Look {
        look(gate, &target(release, self.port(release)))
    }

    fn switch_routes(&mut self, to: &Release) -> Result<(), String> {
        let (Some(router), Some(port)) = (&self.shared.options.router, self.port(to)) else { return Ok(()) };
        match router.switch(self.name, port) {
            // With one instance, or for the first, nothing is lost when the route comes later: the round's end tries again, and tells.
            Err(_) if self.settings.strategy == Strategy::Restart || self.is_first() => Ok(()),
            result => result,
        }
    }

    fn drain(&mut self, release: &Release) -> Result<(), String> {
        match (&self.shared.options.router, self.port(release)) {
            (Some(router), Some(port)) => router.drain(port),
            _ => Ok(()),
        }
    }

    fn commit(&mut self, release: &Release, _: &[Release]) -> Result<(), String> {
        let (service, runtime) = self.runtime_of(release)?;
        runtime.commit(self.name, release).map_err(|error| error.chain())?;
        self.shared.commit(self.name, &service.artifact.store_path, self.settings.keep_releases)
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

struct ServiceTold<'a> {
    shared: &'a Shared,
    name: &'a str,
}

impl Told for ServiceTold<'_> {
    fn journal(&mut self, entry: &Entry) {
        self.shared.voice.say(Some(self.name), &entry.text);
    }

    fn alert(&mut self, alert: Option<&Alert>) {
        match alert {
            Some(alert) => self.shared.alert_stands(alert),
            None => self.shared.alert_over(self.name),
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

    /// Every workload that may run here: of which there is a record, or of which a runtime knows.
    pub(crate) fn known(&self, problems: &mut Vec<String>) -> BTreeSet<String> {
        let mut known = BTreeSet::new();
        let runtimes = self.options.runtimes.iter().map(|(_, runtime)| runtime.workloads());
        for names in runtimes.chain([self.records.workloads()]) {
            match names {
                Ok(names) => known.extend(names),
                Err(error) => problems.push(error.chain()),
            }
        }
        known
    }

    pub(crate) fn default_kind(&self) -> Kind {
        self.options.runtimes.first().map_or(Kind::Systemd, |(kind, _)| *kind)
    }

    pub(crate) fn runtime(&self, wanted: Kind) -> Result<Arc<dyn Runtime>, String> {
        let found = self.options.runtimes.iter().find(|(kind, _)| *kind == wanted);
        let word =
            serde_json::to_value(wanted).ok().and_then(|json| json.as_str().map(str::to_owned)).unwrap_or_default();
        found.map(|(_, runtime)| Arc::clone(runtime)).ok_or_else(|| format!("this host has no runtime `{word}`"))
    }
}
