//! `freehold state …`: what is remembered, looked at and mended by hand. The work is done in `freehold_state::commands`.

mod diff;
mod export;
mod history;
mod import;
mod list;
mod mv;
mod rekey;
mod repair;
mod rm;
mod unlock;

use clap::Subcommand;
use freehold_engine::Engine;
use freehold_state::{Owner, Store, SystemClock};

use crate::commands::show;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Look at the state, move records, mend what is broken
///
/// The state is an append-only log beside the deployment (`freehold.state/`), or where `--state` or the file `freehold.state` says.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::Args),
    Show(show::Args),
    Mv(mv::Args),
    Rm(rm::Args),
    Import(import::Args),
    History(history::Args),
    Diff(diff::Args),
    Export(export::Args),
    Unlock(unlock::Args),
    Repair(repair::Args),
    Rekey(rekey::Args),
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    match args.command {
        Command::List(args) => list::run(args, session),
        Command::Show(args) => show::run(args, session),
        Command::Mv(args) => mv::run(args, session),
        Command::Rm(args) => rm::run(args, session),
        Command::Import(args) => import::run(args, session),
        Command::History(args) => history::run(args, session),
        Command::Diff(args) => diff::run(args, session),
        Command::Export(args) => export::run(args, session),
        Command::Unlock(args) => unlock::run(args, session),
        Command::Repair(args) => repair::run(args, session),
        Command::Rekey(args) => rekey::run(args, session),
    }
}

/// Who we are, for the lock.
fn owner(engine: &Engine) -> Owner {
    Owner::current(engine.options().command.clone(), &SystemClock)
}

/// Does something to the store while its lock is held.
fn locked<T>(
    store: &mut Store,
    owner: &Owner,
    work: impl FnOnce(&mut Store) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let guard = store.lock(owner)?;
    let result = work(store);
    store.close_writer();
    drop(guard);
    result
}
