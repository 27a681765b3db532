//! `freehold agent status`.

use freehold_agent::read_memory;
use freehold_runtime::Alerts;
use serde_json::json;

use super::{directory, told};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Tell how the last round of the agent on this host went, and which alerts stand
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: Args, session: &Session) -> Result<Exit, Failure> {
    let state = directory(session)?;
    let memory = read_memory(&state)?;
    let alerts = Alerts::new(state.join("alerts"));
    let mut services = memory.round.as_ref().map(|round| round.services.clone()).unwrap_or_default();
    for service in &mut services {
        service.alert = alerts.get(&service.name)?;
    }
    if session.ui.json {
        let stands = alerts.workloads()?.iter().filter_map(|name| alerts.get(name).ok().flatten()).collect::<Vec<_>>();
        session.ui.json(&json!({
            "format": "freehold.agent-status/1",
            "host": memory.host,
            "generation": memory.generation,
            "serial": memory.serial,
            "lastRound": memory.last_round,
            "failures": memory.failures,
            "failure": memory.failure,
            "services": services,
            "alerts": stands,
        }));
        return Ok(Exit::Ok);
    }
    if memory.last_round.is_none() {
        session.ui.talk(&format!("no agent has worked in `{}` yet", state.display()));
        return Ok(Exit::Ok);
    }
    let generation = memory.generation.as_deref().unwrap_or("no manifest");
    session.ui.data(&format!("host {}, generation {generation}, serial {}\n", memory.host, memory.serial));
    session.ui.data(&told::services(&services));
    if let Some(failure) = &memory.failure {
        session.ui.warn(&format!(
            "{} in a row without the manifest: {failure}",
            crate::render::text::count(memory.failures as usize, "round", "rounds")
        ));
    }
    for name in alerts.workloads()? {
        if let Some(alert) = alerts.get(&name)? {
            session.ui.warn(&format!("alert: {name} {}: {}", alert.outcome, alert.reason));
        }
    }
    Ok(Exit::Ok)
}
