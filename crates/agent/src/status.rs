//! How an agent stands, as it can be read from its state at any time: `freehold.agent-status/1`.
//!
//! One shape for `agent status --json`, the socket, the metrics and the reports to others. It asks no runtime: read on in `memory.rs`.

use std::path::Path;

use freehold_rollout::Alert;
use freehold_runtime::{Alerts, RuntimeError};
use serde::Serialize;

use crate::agent::is_at_work;
use crate::{ServiceState, read_memory};

/// How an agent stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// [`Status::FORMAT`].
    pub format: &'static str,
    /// The name of its host in manifests.
    pub host: String,
    /// Whether an agent works there at this moment, or waits for its next round; `None` for who may not know.
    pub running: Option<bool>,
    /// The generation that is followed; `None` when there is no manifest.
    pub generation: Option<String>,
    /// The serial of that manifest.
    pub serial: u64,
    /// When a round began last, in milliseconds since 1970, UTC; `None` when none ever did.
    pub last_round: Option<u64>,
    /// Rounds in a row in which the manifest could not be read.
    pub failures: u32,
    /// Why, in the last of them.
    pub failure: Option<String>,
    /// How the last round found each service, with the alert that stands now.
    pub services: Vec<ServiceState>,
    /// Every alert that stands, those of the agent itself among them, by workload.
    pub alerts: Vec<Alert>,
}

impl Status {
    /// The name of the format and its version.
    pub const FORMAT: &'static str = "freehold.agent-status/1";
}

/// Reads how the agent with this state stands.
///
/// # Errors
/// What it remembers, or an alert, cannot be read.
pub fn read_status(state: &Path) -> Result<Status, RuntimeError> {
    let memory = read_memory(state)?;
    let stands = Alerts::new(state.join("alerts"));
    let mut alerts = Vec::new();
    for workload in stands.workloads()? {
        alerts.extend(stands.get(&workload)?);
    }
    let mut services = memory.round.map(|round| round.services).unwrap_or_default();
    for service in &mut services {
        service.alert = alerts.iter().find(|alert| alert.workload == service.name).cloned();
    }
    Ok(Status {
        format: Status::FORMAT,
        host: memory.host,
        running: is_at_work(state).ok(),
        generation: memory.generation,
        serial: memory.serial,
        last_round: memory.last_round,
        failures: memory.failures,
        failure: memory.failure,
        services,
        alerts,
    })
}
