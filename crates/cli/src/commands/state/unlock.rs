//! `freehold state unlock`.

use freehold_engine::Engine;
use freehold_state::commands;
use serde_json::json;

use super::owner;
use crate::commands::held;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::text::escape_controls;
use crate::session::Session;

/// Show who holds the lock, and take it away from one that is gone
///
/// Only for a holder that cannot come back: another machine that died, a lease that nobody renews. A holder that does come back is
/// refused when it writes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: Args, session: &Session) -> Result<Exit, Failure> {
    let mut engine = held::reader(session)?;
    let Some(holder) = engine.store().holder()? else {
        return unlock_holders(&mut engine, session);
    };
    let who = escape_controls(&holder.to_string()).into_owned();
    session.ui.talk(&format!("held by {who}"));
    session.need_consent("taking the lock away")?;
    if !session.consents("take the lock away from it?") {
        session.ui.talk("nothing was changed");
        return Ok(Exit::Failed);
    }
    let owner = owner(&engine);
    let broken = commands::unlock(engine.store_mut(), &owner)?;
    engine.unlock_holders()?;
    if session.ui.json {
        let json = json!({ "format": "freehold.state-unlock/1", "holder": holder.owner, "broken": broken.is_some() });
        session.ui.json(&json);
    } else {
        session.ui.data("the lock is free\n");
    }
    Ok(Exit::Ok)
}

/// The deployment's own lock is free; a run that was killed may have left those of logs that members hold.
fn unlock_holders(engine: &mut Engine, session: &Session) -> Result<Exit, Failure> {
    let asks = session.global.yes || session.ui.can_ask();
    let held = engine.stores().count() > 1;
    let broken = if held && asks && session.consents("take away the locks of what members hold, where there are any?") {
        engine.unlock_holders()?
    } else {
        Vec::new()
    };
    if session.ui.json {
        let json = json!({ "format": "freehold.state-unlock/1", "holder": null, "broken": !broken.is_empty() });
        session.ui.json(&json);
        return Ok(Exit::Ok);
    }
    for holder in &broken {
        session.ui.data(&format!("the lock of the state held by `{holder}` is free\n"));
    }
    if broken.is_empty() {
        session.ui.data("nobody holds the lock\n");
        if held && !session.global.yes {
            session.ui.talk("locks of what members hold are looked at with `--yes`");
        }
    }
    Ok(Exit::Ok)
}
