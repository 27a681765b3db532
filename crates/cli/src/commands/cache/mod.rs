//! `freehold cache …`: Nix binary caches in buckets and directories. The work is done in `freehold_cache`.
//!
//! `keys.rs` reads keys, `paths.rs` what is named on the command line, `moving.rs` tells what is on its way.

mod gc;
mod keygen;
pub(crate) mod keys;
mod ls;
pub(crate) mod moving;
pub(crate) mod paths;
mod pull;
mod push;
mod serve;
mod verify;

use clap::Subcommand;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Push store paths to a binary cache, pull them, look after the cache
///
/// A cache is a bucket or a directory in Nix's own layout: any Nix can read it. URL is written as for Nix:
/// s3://BUCKET?endpoint=HOST&scheme=https&region=REGION&profile=PROFILE, or file:///DIRECTORY.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Keygen(keygen::Args),
    Push(push::Args),
    Pull(pull::Args),
    Verify(verify::Args),
    Ls(ls::Args),
    Gc(gc::Args),
    Serve(serve::Args),
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    match args.command {
        Command::Keygen(args) => keygen::run(args, session),
        Command::Push(args) => push::run(args, session),
        Command::Pull(args) => pull::run(args, session),
        Command::Verify(args) => verify::run(args, session),
        Command::Ls(args) => ls::run(args, session),
        Command::Gc(args) => gc::run(args, session),
        Command::Serve(args) => serve::run(args, session),
    }
}
