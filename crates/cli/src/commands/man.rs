//! `freehold man`.

use std::path::PathBuf;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::internal::manual;
use crate::session::Session;

/// Print the manual page, or write one page per command into a directory
///
/// `freehold man | man -l -` reads it; with --out in a directory `man1` on MANPATH, `man freehold-plan` works.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write a page per command here
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let Some(dir) = args.out else {
        session.ui.raw(&manual::whole()?);
        return Ok(Exit::Ok);
    };
    fs_err::create_dir_all(&dir)?;
    for (name, page) in manual::pages()? {
        fs_err::write(dir.join(&name), page)?;
        session.ui.talk(&format!("wrote {}", dir.join(name).display()));
    }
    Ok(Exit::Ok)
}
