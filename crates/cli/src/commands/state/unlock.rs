//! `freehold state unlock`.

use freehold_state::commands;
use serde_json::json;

use super::owner;
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
    let mut engine = session.reader()?;
    let Some(holder) = engine.store().holder()? else {
        if session.ui.json {
            session.ui.json(&json!({ "format": "freehold.state-unlock/1", "holder": null, "broken": false }));
        } else {
            session.ui.data("nobody holds the lock\n");
        }
        return Ok(Exit::Ok);
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
    if session.ui.json {
        let json = json!({ "format": "freehold.state-unlock/1", "holder": holder.owner, "broken": broken.is_some() });
        session.ui.json(&json);
    } else {
        session.ui.data("the lock is free\n");
    }
    Ok(Exit::Ok)
}
