//! `freehold agent status`.

use freehold_agent::read_status;

use super::{directory, told};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Tell whether an agent is at work on this host, how its last round went, and which alerts stand
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

const HOW: &str = "  `freehold agent run` is one, and `freehold agent install` keeps one";

pub(crate) fn run(_: Args, session: &Session) -> Result<Exit, Failure> {
    let state = directory(session)?;
    let status = read_status(&state)?;
    if session.ui.json {
        session.ui.json(&serde_json::to_value(&status).unwrap_or_default());
        return Ok(Exit::Ok);
    }
    if status.last_round.is_none() {
        session.ui.talk(&format!("no agent has worked in `{}` yet", state.display()));
        session.ui.talk(HOW);
        return Ok(Exit::Ok);
    }
    let generation = status.generation.as_deref().unwrap_or("no manifest");
    session.ui.data(&format!("host {}, generation {generation}, serial {}\n", status.host, status.serial));
    session.ui.data(&told::services(&status.services));
    if let Some(failure) = &status.failure {
        session.ui.warn(&format!(
            "{} in a row without the manifest: {failure}",
            crate::render::text::count(status.failures as usize, "round", "rounds")
        ));
    }
    if status.running == Some(false) {
        session.ui.talk("no agent is at work at this moment");
        session.ui.talk(HOW);
    }
    for alert in &status.alerts {
        session.ui.warn(&format!("alert: {} {}: {}", alert.workload, alert.outcome, alert.reason));
    }
    Ok(Exit::Ok)
}
