//! `freehold state rekey`.

use freehold_state::commands;
use serde_json::json;

use super::{locked, owner};
use crate::commands::held;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::text::count;
use crate::session::Session;

/// Encrypt the secrets of the state for those who are listed in freehold.recipients now
///
/// Add or remove a line first. What was written before stays readable for those who were listed then: a secret that somebody should
/// no longer know has to be changed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: Args, session: &Session) -> Result<Exit, Failure> {
    let mut engine = held::reader(session)?;
    let keys = session.keys(&engine.options().entry.dir.clone())?;
    let recipients = keys.recipients();
    if recipients.is_empty() {
        return Err(freehold_state::StateError::NoRecipients.into());
    }
    let owner = owner(&engine);
    for store in engine.stores_mut() {
        locked(store, &owner, |store| Ok(commands::rekey(store, keys.clone())?))?;
    }
    if session.ui.json {
        session.ui.json(&json!({ "format": "freehold.state-rekey/1", "recipients": recipients }));
    } else {
        session.ui.data(&format!("secrets are encrypted for {}\n", count(recipients.len(), "recipient", "recipients")));
    }
    Ok(Exit::Ok)
}
