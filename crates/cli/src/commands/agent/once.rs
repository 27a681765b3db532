//! `freehold agent once`.

use std::time::Duration;

use super::{Told, told};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Follow the manifest once
///
/// Ends with 0 when everything that names this host runs as declared and is healthy, with 3 when something does not, and with 1 when
/// the round could not be done and nothing was changed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    told: Told,
    /// Exit with 2 when something was changed and all is well
    #[arg(long)]
    detailed_exitcode: bool,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let stop = session.stopper()?;
    let mut agent = args.told.agent(Duration::ZERO, None, &stop, session)?;
    let Some(round) = agent.once()? else {
        session.ui.warn("stopped in the middle; the next round goes on from here");
        return Ok(Exit::Interrupted);
    };
    if session.ui.json {
        session.ui.json(&serde_json::to_value(&round).unwrap_or_default());
    } else {
        session.ui.data(&told::round(&round));
    }
    Ok(told::exit(&round, args.detailed_exitcode))
}
