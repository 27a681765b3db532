//! `freehold state repair`.

use std::sync::Arc;

use freehold_state::commands::{self, Repair};
use freehold_state::{Clock, Owner, SystemClock};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Restore the longest valid part of a damaged state
///
/// Everything from the damage on is moved aside, nothing is deleted. What was made after it is no longer recorded: compare the part
/// that was moved aside, and take objects back with `freehold import`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: Args, session: &Session) -> Result<Exit, Failure> {
    let dir = session.entry_or_state()?.dir;
    let (backend, keys) = (session.backend(&dir)?, session.keys(&dir)?);
    let found = commands::examine(backend.as_ref(), &keys)?;
    let Some(cut) = &found.cut else {
        if session.ui.json {
            session.ui.json(&report(&found, false));
        } else {
            session.ui.data(&format!("nothing is damaged: {} events\n", found.kept));
        }
        return Ok(Exit::Ok);
    };
    if let Some(fault) = &found.fault {
        session.ui.talk(fault);
    }
    session.ui.talk(&format!(
        "events up to {} are intact; what follows byte {} of `{}` would be moved aside{}",
        found.kept,
        cut.offset,
        cut.piece,
        if cut.later.is_empty() { String::new() } else { format!(", and {} later pieces", cut.later.len()) }
    ));
    session.need_consent("`freehold state repair`")?;
    if !session.consents("move it aside?") {
        session.ui.talk("nothing was changed");
        return Ok(Exit::Failed);
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let owner = Owner::current("freehold state repair", clock.as_ref());
    let done = commands::repair(&backend, &keys, &clock, &owner)?;
    if session.ui.json {
        session.ui.json(&report(&done, true));
    } else {
        session.ui.data(&format!("the state is as of event {}\n", done.kept));
    }
    Ok(Exit::Ok)
}

fn report(repair: &Repair, repaired: bool) -> serde_json::Value {
    let cut = repair.cut.as_ref().map(|c| json!({ "piece": c.piece, "offset": c.offset, "later": c.later }));
    json!({ "format": "freehold.state-repair/1", "fault": repair.fault, "kept": repair.kept, "cut": cut, "repaired": repaired })
}
