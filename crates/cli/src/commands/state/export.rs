//! `freehold state export`.

use freehold_state::{Store, commands};

use crate::commands::held;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Print all records as JSON
///
/// Secrets are left out unless --reveal is given.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// With secrets in clear; asks first
    #[arg(long)]
    reveal: bool,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    if args.reveal {
        session.need_consent("showing secrets")?;
        if !session.consents("print secrets in clear?") {
            return Ok(Exit::Failed);
        }
    }
    let engine = held::reader(session)?;
    let held = engine.stores().skip(1).map(Store::view);
    session.ui.json(&commands::export(engine.store().view(), held, args.reveal)?);
    Ok(Exit::Ok)
}
