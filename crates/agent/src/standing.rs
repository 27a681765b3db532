//! Services that were well in an earlier round: as long as nothing that was decided upon is another, they are looked at and not decided
//! upon again.
//!
//! What is done with a service is a function of what is declared of it, what its record says, what runs and what a look at it shows. So
//! when the declaration is equal, the record's file is the same and the same release runs in order, nothing is to be done this time
//! either, without reading the record or locking it. Everything else goes the long way of `workload.rs`, which forgets what was known here.
//! Nothing of this outlives the agent.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use freehold_manifest::{Runtime as Kind, Service};
use freehold_rollout::{Gate, Look, Release, Settling};
use freehold_runtime::{Fingerprint, Instance, ProbeTarget, ServiceRelease, look};

use crate::ServiceState;
use crate::agent::Shared;
use crate::routes::instance_of;
use crate::workload::Converged;

/// A service that was well, and everything that this was found from.
pub(crate) struct Standing {
    /// As it was declared.
    service: Service,
    /// The file that its record was read from.
    record: Fingerprint,
    /// What ran.
    release: Release,
    kind: Kind,
    port: Option<u16>,
    gate: Gate,
    /// What was said of it.
    state: ServiceState,
}

impl Standing {
    /// Of a service whose record was read from this file, and which nothing had to be done to; `None` when it cannot be relied on.
    pub(crate) fn new(service: &Service, record: Fingerprint, release: &Release, state: &ServiceState) -> Option<Self> {
        let is_plain = state.is_well() && state.reason.is_none() && state.alert.is_none() && !state.taken_back;
        let started = ServiceRelease::from_release(release).ok().filter(|_| is_plain)?;
        Some(Self {
            service: service.clone(),
            record,
            release: release.clone(),
            kind: started.runtime,
            port: started.port,
            gate: ServiceRelease::settings(service).gate,
            state: state.clone(),
        })
    }
}

/// Those of all services, by name.
#[derive(Default)]
pub(crate) struct Standings {
    known: Mutex<HashMap<String, Arc<Standing>>>,
}

impl Standings {
    pub(crate) fn put(&self, name: &str, standing: Option<Standing>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match standing {
            Some(standing) => drop(known.insert(name.to_owned(), Arc::new(standing))),
            None => drop(known.remove(name)),
        }
    }

    fn get(&self, name: &str) -> Option<Arc<Standing>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

/// How a service stands that is as it was when it was well, and is well; `None` when it has to be decided upon. `alerts` are the
/// workloads for which one stands.
pub(crate) fn still_well(
    shared: &Shared,
    name: &str,
    service: &Service,
    alerts: &BTreeSet<String>,
) -> Option<Converged> {
    let standing = shared.standings.get(name)?;
    let is_same = standing.service == *service && shared.records.fingerprint(name) == Some(standing.record);
    if !is_same || alerts.contains(name) || shared.stop.load(Ordering::SeqCst) {
        return None;
    }
    let instances = shared.observe(name).ok()?;
    let instance = instance_of(&instances, Some(&standing.release))?;
    if !instance.release.as_ref()?.is(&standing.release) || !is_in_order(shared, name, &standing, instance) {
        return None;
    }
    Some(Converged { state: standing.state.clone(), well_at: Some(instance.port.or(standing.port)) })
}

fn is_in_order(shared: &Shared, name: &str, standing: &Standing, instance: &Instance) -> bool {
    let Ok(runtime) = shared.runtime(standing.kind) else { return false };
    let seen = || look(&standing.gate, &target(&standing.release, instance.port.or(standing.port)));
    runtime.settle(name, &standing.release) == Settling::Settled && (!standing.gate.looks() || seen() == Look::Green)
}

/// What a gate looks at.
pub(crate) fn target(release: &Release, port: Option<u16>) -> ProbeTarget {
    let mut env = vec![("FREEHOLD_RELEASE".to_owned(), release.id().to_owned())];
    env.extend(port.map(|port| ("PORT".to_owned(), port.to_string())));
    ProbeTarget { port, env, ..ProbeTarget::default() }
}
