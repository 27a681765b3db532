//! `freehold cache pull`.

use std::path::PathBuf;

use clap::ValueHint;
use freehold_cache::Depot;
use freehold_nar::StorePath;
use freehold_store::Nix;
use serde_json::json;

use crate::commands::cache::{keys, moving::Moving, paths};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::text::{bytes, count};
use crate::session::Session;

/// Bring store paths with all that they need from a cache into the store
///
/// Signatures and hashes are checked here, and again by Nix. Works with any Nix, whether it knows buckets or not. A pull that was
/// interrupted goes on where it was.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Store paths
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<String>,
    /// The cache
    #[arg(long, value_name = "URL")]
    from: String,
    /// A key that is trusted: NAME:BASE64, or a file that holds it
    #[arg(long, value_name = "KEY", required = true)]
    trusted_key: Vec<String>,
    /// Where paths are kept on their way [default: in the cache directory of this user]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    staging: Option<PathBuf>,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let depot = Depot::open(&args.from)?;
    let trusted = keys::trusted(&args.trusted_key)?;
    let roots = args.paths.iter().map(|text| StorePath::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let staging = args.staging.map_or_else(|| paths::staging_dir(&args.from, &roots), Ok)?;
    let nix = Nix::find()?;
    let stop = session.stopper()?;
    depot.heed(&stop);
    let moving = Moving::new(&session.ui, "pulled");
    let pulled = freehold_cache::pull(&nix, &depot, &roots, &trusted, &staging, &|news| moving.hear(news), &stop)?;
    drop(moving);
    if session.ui.json {
        session.ui.json(&json!({
            "format": "freehold.cache-pull/1", "cache": args.from,
            "paths": roots.iter().map(StorePath::as_str).collect::<Vec<_>>(),
            "new": pulled.new, "narBytes": pulled.nar_bytes,
            "fileBytes": pulled.file_bytes, "travelledBytes": pulled.travelled_bytes,
        }));
        return Ok(Exit::Ok);
    }
    session.ui.talk(&match pulled.new {
        0 => "the store has all of it already".to_owned(),
        new => format!(
            "pulled {}: {} as {}",
            count(new, "path", "paths"),
            bytes(pulled.nar_bytes),
            bytes(pulled.file_bytes)
        ),
    });
    for root in &roots {
        session.ui.data(&format!("{root}\n"));
    }
    Ok(Exit::Ok)
}
