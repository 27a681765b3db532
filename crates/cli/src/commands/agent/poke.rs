//! `freehold agent poke`.

use freehold_agent::wake;

use super::directory;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Let the agent on this host look at the manifest at once
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: Args, session: &Session) -> Result<Exit, Failure> {
    let state = directory(session)?;
    let Some(pid) = wake(&state)? else {
        return Err(Failure::user(format!("no agent runs in `{}`", state.display()))
            .hint("`freehold agent run` starts one, `freehold agent once` does a single round"));
    };
    session.ui.talk(&format!("the agent (pid {pid}) looks now"));
    Ok(Exit::Ok)
}
