//! `freehold identity`.

use freehold_state::Keys;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::places;
use crate::session::Session;

/// Print whom secrets have to be encrypted for so that you can read them, and make your key if you have none
///
/// The line that is printed goes into freehold.recipients; who can read the secrets already runs `freehold state rekey` then. The
/// private key stays in $FREEHOLD_IDENTITY, else in freehold/identity.age in your configuration directory.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: Args, session: &Session) -> Result<Exit, Failure> {
    let path = places::identity().ok_or_else(|| {
        Failure::usage("there is no home to keep a private key in")
            .hint("set FREEHOLD_IDENTITY to the file it is to be in")
    })?;
    let (recipient, made) = Keys::make_identity(&path)?;
    let shown = path.display().to_string();
    if session.ui.json {
        session.ui.json(&json!({
            "format": "freehold.identity/1", "path": shown, "recipient": recipient, "made": made,
        }));
        return Ok(Exit::Ok);
    }
    if made {
        session.ui.talk(&format!("made a private key: {shown}"));
        session.ui.talk("  keep a copy in a safe place, and never commit it");
    } else {
        session.ui.talk(&format!("the private key is in {shown}"));
    }
    session.ui.data(&format!("{recipient}\n"));
    Ok(Exit::Ok)
}
