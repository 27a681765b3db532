//! `freehold manifest …`: what hosts are told to run, now and before. The work is done in `freehold_publish` and `freehold_manifest`.

mod diff;
mod list;
mod remove;
mod show;
mod verify;

use clap::Subcommand;
use freehold_cache::Depot;
use freehold_publish::{Board, Current};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Look at the manifest that hosts follow, and take services out of it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Show(show::Args),
    List(list::Args),
    Diff(diff::Args),
    Verify(verify::Args),
    Remove(remove::Args),
}

/// Where the manifest is.
#[derive(Debug, clap::Args)]
struct At {
    /// The bucket or directory with the manifest
    #[arg(long, value_name = "URL")]
    at: String,
}

impl At {
    fn board(&self) -> Result<Board, Failure> {
        Ok(Board::new(Depot::open(&self.at)?))
    }

    /// What is current; that there is nothing is no fault.
    fn current(&self) -> Result<Option<Current>, Failure> {
        Ok(self.board()?.current()?)
    }
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    match args.command {
        Command::Show(args) => show::run(args, session),
        Command::List(args) => list::run(args, session),
        Command::Diff(args) => diff::run(args, session),
        Command::Verify(args) => verify::run(args, session),
        Command::Remove(args) => remove::run(args, session),
    }
}
