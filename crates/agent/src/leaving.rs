//! What left the manifest in a round, and makes way for who comes or takes its place.
//!
//! Each is stopped once: by the worker whose turn it is, or before that by a service that is about to start and may need what it holds.
//! A port is known to be needed by a service that listens on it. Of a newcomer nothing is known, and it may be the same service under
//! another name, with the same files and sockets: it waits until all of them are gone. How long one may take to end is its runtime's
//! affair; one that cannot be stopped is no reason to start nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use freehold_rollout::Gate;
use freehold_runtime::ServiceRelease;

use crate::agent::Shared;
use crate::workload::{Converged, end};

/// The port that many programs are told in their environment.
const PORT: &str = "PORT";

/// Those that left, by name.
pub(crate) struct Leaving {
    those: BTreeMap<String, Leaver>,
}

struct Leaver {
    ports: BTreeSet<u16>,
    /// What came of stopping it, once it was.
    ended: OnceLock<Option<Converged>>,
}

impl Leaving {
    pub(crate) fn new(shared: &Shared, names: &[String]) -> Self {
        let leaver = |name: &String| Leaver { ports: held(shared, name), ended: OnceLock::new() };
        Self { those: names.iter().map(|name| (name.clone(), leaver(name))).collect() }
    }

    /// Stops one of them, or waits for who does it; `None` when the agent is to stop first.
    pub(crate) fn end(&self, shared: &Shared, name: &str) -> Option<Converged> {
        self.those.get(name)?.ended.get_or_init(|| end(shared, name)).clone()
    }

    /// Stops those that are in the way of what is about to be started.
    pub(crate) fn make_way(&self, shared: &Shared, service: &ServiceRelease, gate: &Gate, is_new: bool) {
        let wanted = ports(service, gate);
        for (name, leaver) in &self.those {
            if is_new || !leaver.ports.is_disjoint(&wanted) {
                let _told_by_its_own_worker = self.end(shared, name);
            }
        }
    }
}

/// The ports that a workload listens on, as far as that is known.
fn held(shared: &Shared, name: &str) -> BTreeSet<u16> {
    let record = shared.records.read(name).ok();
    let gate = record.and_then(|record| record.good_gate).unwrap_or_default();
    let instances = shared.observe(name).unwrap_or_default();
    let releases = instances.iter().filter_map(|instance| instance.release.as_ref());
    let mut held: BTreeSet<u16> = instances.iter().filter_map(|instance| instance.port).collect();
    for service in releases.filter_map(|release| ServiceRelease::from_release(release).ok()) {
        held.extend(ports(&service, &gate));
    }
    held
}

/// The ports that a release listens on by what is said of it: its route, its environment, where its gate looks.
fn ports(service: &ServiceRelease, gate: &Gate) -> BTreeSet<u16> {
    let told = service.env.get(PORT).and_then(|port| port.parse().ok());
    let seen = [gate.http.as_ref().and_then(|http| http.port), gate.tcp.as_ref().and_then(|tcp| tcp.port)];
    seen.into_iter().chain([service.port, told]).flatten().collect()
}
