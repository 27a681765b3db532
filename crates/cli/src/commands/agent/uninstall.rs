//! `freehold agent uninstall`: takes away what `freehold agent install` has made, and nothing else.

use std::io::ErrorKind;
use std::path::Path;

use freehold_agent::UNIT;

use super::install::{INCLUDE, NIX_CONF, NIX_OURS, UNITS, need_systemd, refuse_foreign, systemctl};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Take away the service that `freehold agent install` has made
///
/// Services that the agent runs as units of systemd go on, and so does everything in its state: publish without this host first if they
/// are to end.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: Args, session: &Session) -> Result<Exit, Failure> {
    need_systemd()?;
    refuse_foreign(Path::new(UNITS))?;
    let mut was_there = false;
    for name in [format!("{UNIT}.timer"), format!("{UNIT}.service")] {
        let path = Path::new(UNITS).join(&name);
        if path.exists() {
            systemctl(&["disable", "--now", &name])?;
            fs_err::remove_file(&path)?;
            session.ui.talk(&format!("removed {}", path.display()));
            was_there = true;
        }
    }
    if was_there {
        systemctl(&["daemon-reload"])?;
    } else {
        session.ui.talk("there is no agent that was installed");
    }
    distrust(session)?;
    Ok(Exit::Ok)
}

/// Takes back what Nix was told to trust.
fn distrust(session: &Session) -> Result<(), Failure> {
    let theirs = match fs_err::read_to_string(NIX_CONF) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if theirs.lines().any(|line| line.trim() == INCLUDE) {
        let left: String = theirs.split_inclusive('\n').filter(|line| line.trim() != INCLUDE).collect();
        freehold_runtime::write_durably(Path::new(NIX_CONF), left.as_bytes())?;
    }
    if Path::new(NIX_OURS).exists() {
        fs_err::remove_file(NIX_OURS)?;
        session.ui.talk(&format!("removed {NIX_OURS}"));
    }
    Ok(())
}
