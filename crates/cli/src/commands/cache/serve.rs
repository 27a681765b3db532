//! `freehold cache serve`.

use std::net::TcpListener;

use freehold_cache::{Depot, Served};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::text::escape_controls;
use crate::session::Session;
use crate::ui::Verbosity;

/// Let any Nix read a cache over HTTP
///
/// Prints the address for `substituters`, and serves until it is stopped. Only what belongs to a binary cache is given out, to
/// everybody who can reach the address, and nothing is ever written. For HTTPS, put a web server before it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The cache: a directory, or an address as for the other commands
    #[arg(long, value_name = "DIR")]
    from: String,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5000")]
    listen: String,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let depot = depot(&args.from)?;
    if depot.get(freehold_nar::CacheInfo::KEY)?.is_none() {
        return Err(Failure::user(format!("there is no cache in `{}`: it has no `nix-cache-info`", args.from))
            .hint("the first `freehold cache push` makes a cache"));
    }
    let listening = |error| {
        Failure::host(format!("cannot listen at `{}`", args.listen), error)
            .hint("write an address and a port, like 127.0.0.1:5000 or [::]:80")
    };
    let socket = TcpListener::bind(&args.listen).map_err(listening)?;
    let address = socket.local_addr().map_err(listening)?;
    let stop = session.stopper()?;
    session.ui.data(&format!("http://{address}\n"));
    let tell = |served: &Served| {
        if session.ui.verbosity >= Verbosity::Verbose {
            let line = format!("{} {} {}", served.status, served.method, served.target);
            session.ui.talk(&escape_controls(&line));
        }
    };
    freehold_cache::serve(&depot, &socket, &tell, &stop)?;
    Ok(Exit::Ok)
}

fn depot(from: &str) -> Result<Depot, Failure> {
    if from.contains("://") {
        return Ok(Depot::open(from)?);
    }
    let dir = std::path::absolute(from).map_err(|e| Failure::host("cannot tell the directory of the cache", e))?;
    Ok(Depot::in_directory(&dir))
}
