//! One round: the manifest as it is now, every service of this host moved to it, routes set, everything remembered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use freehold_manifest::{Manifest, Service};
use freehold_model::limits;
use freehold_publish::Look;
use freehold_rollout::{Alert, Outcome};
use freehold_runtime::{Fingerprint, RuntimeError, remove_durably, write_durably};
use serde::{Deserialize, Serialize};

use crate::AgentError;
use crate::agent::Shared;
use crate::alerts::PROFILES;
use crate::leaving::Leaving;
use crate::memory::{MANIFEST, Memory};
use crate::routes::set_routes;
use crate::standing::still_well;
use crate::workload::{Converged, converge};

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
    /// What is wrong beside services: routes that cannot be set, profiles that were moved by hand.
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
    /// Whether what is declared was tried, in this round or before, and taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub taken_back: bool,
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

/// The manifest that was followed last, as it was read from the agent's own file, whose signature was found good.
#[derive(Clone)]
pub(crate) struct Kept {
    file: Fingerprint,
    manifest: Arc<Manifest>,
}

/// Reads the manifest and says whether to follow it; the memory is brought up to date. What was kept of an earlier round spares reading
/// the same file and checking the same signature again: as long as an agent lives it trusts the same keys.
pub(crate) fn read(
    shared: &Shared,
    memory: &mut Memory,
    known: &mut Option<Kept>,
) -> Result<Option<Arc<Manifest>>, AgentError> {
    let path = shared.options.state.join(MANIFEST);
    let file = Fingerprint::of(&path);
    *known = known.take().filter(|known| Some(known.file) == file);
    // Only what is still here, and whole, can be unchanged.
    let kept = || fs_err::read(&path).ok().and_then(|bytes| Some((Manifest::parse(&bytes).ok()?, bytes)));
    let kept = if known.is_some() { None } else { kept() };
    let etag = memory.etag.clone().filter(|_| kept.is_some() || known.is_some());
    let (manifest, bytes, etag) = match shared.options.board.look(etag.as_deref()).map_err(AgentError::Read)? {
        Look::Found(current) => (current.manifest, current.bytes, Some(current.etag)),
        Look::Nothing => {
            if memory.serial > 0 && !shared.options.trusted.is_empty() && !shared.options.trust.rollback {
                return Err(AgentError::Gone { seen: memory.serial });
            }
            // Nobody is to follow it when the next look fails.
            remove_durably(&path).map_err(AgentError::Memory)?;
            (memory.etag, memory.generation, memory.serial) = (None, None, 0);
            return Ok(None);
        }
        Look::Unchanged => {
            if let Some(known) = known {
                check_serial(shared, memory, &known.manifest)?;
                return Ok(Some(followed(memory, Arc::clone(&known.manifest))));
            }
            let (manifest, bytes) = kept.ok_or(AgentError::Gone { seen: memory.serial })?;
            (manifest, bytes, None)
        }
    };
    // One that was not changed, too: whom to trust may be another by now.
    check(shared, memory, &manifest, &bytes)?;
    let manifest = Arc::new(manifest);
    *known = match etag {
        Some(etag) => {
            write_durably(&path, &bytes).map_err(AgentError::Memory)?;
            memory.etag = Some(etag);
            None
        }
        None => file.filter(Fingerprint::is_settled).map(|file| Kept { file, manifest: Arc::clone(&manifest) }),
    };
    Ok(Some(followed(memory, manifest)))
}

fn followed(memory: &mut Memory, manifest: Arc<Manifest>) -> Arc<Manifest> {
    memory.generation = Some(manifest.generation.to_string());
    // An older one is followed when that is allowed; what is said after it is newer again.
    memory.serial = manifest.serial.unwrap_or(0);
    manifest
}

/// The manifest that was followed last, if it would be followed now.
pub(crate) fn kept_manifest(shared: &Shared, memory: &Memory) -> Result<Manifest, AgentError> {
    let path = shared.options.state.join(MANIFEST);
    let bytes = fs_err::read(&path)
        .map_err(|source| AgentError::Memory(RuntimeError::File { action: "read", path: path.clone(), source }))?;
    let manifest = Manifest::parse(&bytes).map_err(AgentError::Distrusted)?;
    check(shared, memory, &manifest, &bytes)?;
    Ok(manifest)
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
    match manifest.verify_read(bytes, &options.trusted) {
        Ok(_) => {}
        Err(freehold_manifest::ManifestError::Unsigned) if options.trust.unsigned => {}
        Err(error) => return Err(AgentError::Distrusted(error)),
    }
    check_serial(shared, memory, manifest)
}

fn check_serial(shared: &Shared, memory: &Memory, manifest: &Manifest) -> Result<(), AgentError> {
    if shared.options.trusted.is_empty() {
        return Ok(());
    }
    let found = manifest.serial.unwrap_or(0);
    if found < memory.serial && !shared.options.trust.rollback {
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
    let known = shared.known(&mut problems);
    let left: Vec<String> = known.into_iter().filter(|name| !names.contains(name.as_str())).collect();
    let leaving = Leaving::new(shared, &left);
    let work: VecDeque<(String, Option<&Service>)> = declared
        .iter()
        .map(|service| (service.name.clone(), Some(*service)))
        .chain(left.into_iter().map(|name| (name, None)))
        .collect();
    let order: Vec<String> = work.iter().map(|(name, _)| name.clone()).collect();
    let done = all(shared, &leaving, work)?;
    let services: Vec<ServiceState> =
        order.iter().filter_map(|name| done.get(name)).map(|done| done.state.clone()).collect();
    if let Err(reason) = set_routes(shared, &declared, &done) {
        shared.voice.say(None, &format!("routes cannot be set: {reason}"));
        problems.push(format!("routes cannot be set: {reason}"));
    }
    let unkept = shared.look_after(&declared, &done);
    match unkept.is_empty() {
        true => shared.alert_over(PROFILES),
        false => shared.alert_failed(PROFILES, &unkept.join("; ")),
    }
    for problem in &unkept {
        shared.voice.say(None, problem);
    }
    problems.extend(unkept);
    Some(Round {
        format: Round::FORMAT.to_owned(),
        host: shared.options.host.clone(),
        generation: manifest.map(|manifest| manifest.generation.to_string()),
        services,
        problems,
    })
}

/// All services, some at once: a bad one is in nobody's way.
fn all(
    shared: &Shared,
    leaving: &Leaving,
    work: VecDeque<(String, Option<&Service>)>,
) -> Option<BTreeMap<String, Converged>> {
    // Alerts that cannot be listed may be anybody's: then nobody is known to be well.
    let alerts = shared.alerts.workloads().map(|names| names.into_iter().collect::<BTreeSet<String>>()).ok();
    let standing = |name: &str, service: &Service| still_well(shared, name, service, alerts.as_ref()?);
    let workers = work.len().min(limits::AGENT_ROLLOUTS);
    let work = Mutex::new(work);
    let done = Mutex::new(Some(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = work.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((name, service)) = next else { return };
                    let converged = match service {
                        Some(service) => standing(&name, service).or_else(|| converge(shared, &name, service, leaving)),
                        None => leaving.end(shared, &name),
                    };
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    match (converged, done.as_mut()) {
                        (Some(converged), Some(done)) => drop(done.insert(name, converged)),
                        _ => *done = None,
                    }
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}
