//! `freehold state repair`.

use std::sync::Arc;

use freehold_state::commands::{self, Repair};
use freehold_state::{Clock, Owner, SystemClock};
use serde_json::json;

use crate::commands::held::Which;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Restore the longest valid part of a damaged state
///
/// Everything from the damage on is moved aside, nothing is deleted; in a log that a member holds it is declared void. What was made after it is no longer recorded: compare the part
/// that was moved aside, and take objects back with `freehold import`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let dir = session.entry_or_state()?.dir;
    let keys = session.keys(&dir)?;
    // A damaged log is not opened by an engine. One that a member holds is reached through its provider.
    let (_engine, backend) = match &args.which.held_by {
        None => (None, session.backend(&dir)?),
        Some(holder) => {
            let mut engine = session.reader()?;
            let backend = engine.backend_held_by(holder)?;
            (Some(engine), backend)
        }
    };
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
    let (done_with, question) = if backend.can_cut() {
        ("moved aside", "move it aside?")
    } else {
        ("declared void, and stay there", "declare it void?")
    };
    session.ui.talk(&format!(
        "events up to {} are intact; what follows byte {} of `{}` would be {done_with}{}",
        found.kept,
        cut.offset,
        cut.piece,
        if cut.later.is_empty() { String::new() } else { format!(", and {} later pieces", cut.later.len()) }
    ));
    session.need_consent("`freehold state repair`")?;
    if !session.consents(question) {
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
