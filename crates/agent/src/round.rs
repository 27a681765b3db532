//! One round: the manifest as it is now, every service of this host moved to it, routes set, everything remembered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use freehold_manifest::{Manifest, Service};
use freehold_model::limits;
use freehold_publish::Look;
use freehold_rollout::{Alert, Outcome};
use freehold_runtime::write_durably;
use serde::{Deserialize, Serialize};

use crate::agent::{Shared, now};
use crate::memory::{MANIFEST, Memory};
use crate::workload::{converge, route};
use crate::{AgentError, Route};

/// How a round went: `freehold.round/1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Round {
    /// [`Round::FORMAT`].
    pub format: String,
    /// The host.
    pub host: String,
    /// The generation that was followed; `None` when there is no manifest.
    pub generation: Option<String>,
    /// The services of this host, in the manifest's order, then those that left.
    pub services: Vec<ServiceState>,
    /// What is wrong beside services: routes that cannot be set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// How a service stands after a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceState {
    /// Its name.
    pub name: String,
    /// What happened to it.
    pub action: Outcome,
    /// The store path that is declared; `None` when it left the manifest.
    pub declared: Option<String>,
    /// The store path that runs.
    pub running: Option<String>,
    /// Whether what runs was found in order.
    pub healthy: bool,
    /// Why, when there is something to say.
    pub reason: Option<String>,
    /// The alert that stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<Alert>,
}

impl ServiceState {
    /// Whether it runs as declared.
    pub fn is_well(&self) -> bool {
        self.healthy && self.declared == self.running && !self.action.alerts()
    }
}

impl Round {
    /// The name of the format and its version.
    pub const FORMAT: &'static str = "freehold.round/1";

    /// Whether everything that names this host runs as declared.
    pub fn is_well(&self) -> bool {
        self.services.iter().all(ServiceState::is_well)
    }

    /// Whether anything was changed.
    pub fn has_changed(&self) -> bool {
        self.services.iter().any(|service| !matches!(service.action, Outcome::None | Outcome::Held))
    }
}

/// Reads the manifest and says whether to follow it; the memory is brought up to date.
pub(crate) fn read(shared: &Shared, memory: &mut Memory) -> Result<Option<Manifest>, AgentError> {
    let kept = shared.options.state.join(MANIFEST);
    // Only what is still here can be unchanged.
    let etag = memory.etag.clone().filter(|_| kept.exists());
    let looked = shared.options.board.look(etag.as_deref()).map_err(AgentError::Read)?;
    match looked {
        Look::Unchanged => kept_manifest(shared).map(Some),
        Look::Nothing => {
            if memory.serial > 0 && !shared.options.trusted.is_empty() && !shared.options.trust.rollback {
                return Err(AgentError::Gone { seen: memory.serial });
            }
            memory.etag = None;
            memory.generation = None;
            Ok(None)
        }
        Look::Found(current) => {
            check(shared, memory, &current.manifest, &current.bytes)?;
            write_durably(&kept, &current.bytes).map_err(AgentError::Memory)?;
            memory.etag = Some(current.etag);
            memory.generation = Some(current.manifest.generation.to_string());
            memory.serial = memory.serial.max(current.manifest.serial.unwrap_or(0));
            Ok(Some(current.manifest))
        }
    }
}

/// The manifest that was followed last.
pub(crate) fn kept_manifest(shared: &Shared) -> Result<Manifest, AgentError> {
    let path = shared.options.state.join(MANIFEST);
    let bytes = fs_err::read(&path).map_err(|source| {
        AgentError::Memory(freehold_runtime::RuntimeError::File { action: "read", path: path.clone(), source })
    })?;
    Manifest::parse(&bytes).map_err(AgentError::Distrusted)
}

fn check(shared: &Shared, memory: &Memory, manifest: &Manifest, bytes: &[u8]) -> Result<(), AgentError> {
    let options = &shared.options;
    if options.trusted.is_empty() {
        return if options.trust.unsigned {
            Ok(())
        } else {
            Err(AgentError::Distrusted(freehold_manifest::ManifestError::Untrusted {
                by: manifest.signatures.iter().map(|signature| signature.key.clone()).collect(),
            }))
        };
    }
    match Manifest::verify(bytes, &options.trusted) {
        Ok(_) => {}
        Err(freehold_manifest::ManifestError::Unsigned) if options.trust.unsigned => {}
        Err(error) => return Err(AgentError::Distrusted(error)),
    }
    let found = manifest.serial.unwrap_or(0);
    if found < memory.serial && !options.trust.rollback {
        return Err(AgentError::Older { found, seen: memory.serial });
    }
    Ok(())
}

/// Moves everything on this host to the manifest; `None` when the agent is to stop first.
pub(crate) fn follow(shared: &Shared, manifest: Option<&Manifest>) -> Option<Round> {
    let declared: Vec<&Service> =
        manifest.map(|manifest| manifest.services_of(&shared.options.host).collect()).unwrap_or_default();
    let names: BTreeSet<&str> = declared.iter().map(|service| service.name.as_str()).collect();
    let mut problems = Vec::new();
    let known = shared.records.workloads().unwrap_or_else(|error| {
        problems.push(error.chain());
        Vec::new()
    });
    let left = known.into_iter().filter(|name| !names.contains(name.as_str())).map(|name| (name, None));
    let work: VecDeque<(String, Option<&Service>)> =
        declared.iter().map(|service| (service.name.clone(), Some(*service))).chain(left).collect();
    let order: Vec<String> = work.iter().map(|(name, _)| name.clone()).collect();
    let done = all(shared, work)?;
    let services: Vec<ServiceState> = order.iter().filter_map(|name| done.get(name).cloned()).collect();
    if let Err(reason) = set_routes(shared, &declared) {
        shared.voice.say(None, &format!("routes cannot be set: {reason}"));
        problems.push(format!("routes cannot be set: {reason}"));
    }
    Some(Round {
        format: Round::FORMAT.to_owned(),
        host: shared.options.host.clone(),
        generation: manifest.map(|manifest| manifest.generation.to_string()),
        services,
        problems,
    })
}

/// All services, some at once: a bad one is in nobody's way.
fn all(shared: &Shared, work: VecDeque<(String, Option<&Service>)>) -> Option<BTreeMap<String, ServiceState>> {
    let workers = work.len().min(limits::AGENT_ROLLOUTS);
    let work = Mutex::new(work);
    let done = Mutex::new(Some(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = work.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((name, service)) = next else { return };
                    let state = converge(shared, &name, service);
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    match (state, done.as_mut()) {
                        (Some(state), Some(done)) => drop(done.insert(name, state)),
                        _ => *done = None,
                    }
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Routes of everything that was ever found healthy here, to where it listens now.
fn set_routes(shared: &Shared, declared: &[&Service]) -> Result<(), String> {
    let Some(router) = &shared.options.router else { return Ok(()) };
    let mut wanted: Vec<Route> = Vec::new();
    for service in declared {
        let Some(http) = &service.http else { continue };
        let record = shared.records.read(&service.name).map_err(|error| error.chain())?;
        let Some(good) = record.last_good else { continue };
        let instances = shared.observe(&service.name).map_err(|error| error.chain())?;
        let instance = instances.iter().find(|i| i.release.as_ref().is_some_and(|running| running.is(&good)));
        let port = instance.and_then(|instance| instance.port).unwrap_or(http.internal_port);
        wanted.push(route(&service.name, http, port));
    }
    let result = router.sync(&wanted);
    let told = match &result {
        Ok(()) => shared.alerts.clear(ROUTES),
        Err(reason) => shared.alerts.raise(&alert_of_routes(shared, reason)),
    };
    result.and(told.map_err(|error| error.chain()))
}

/// Whose alert it is when routes cannot be set. No service can be called so.
const ROUTES: &str = "@routes";

fn alert_of_routes(shared: &Shared, reason: &str) -> Alert {
    let alert = Alert {
        format: Alert::FORMAT.to_owned(),
        workload: ROUTES.to_owned(),
        outcome: Outcome::Failed,
        reason: reason.to_owned(),
        release: None,
        last_good: None,
        snapshot: None,
        since: now(),
        seen: now(),
        count: 1,
    };
    alert.after(shared.alerts.get(ROUTES).ok().flatten().as_ref())
}

/// The whole chain of causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text += &format!(": {next}");
        }
        cause = error.source();
    }
    text
}
