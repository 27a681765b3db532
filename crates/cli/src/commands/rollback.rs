//! `freehold rollback`: back to what an earlier generation said, as a new generation.

use std::path::PathBuf;

use clap::ValueHint;
use freehold_cache::Depot;
use freehold_manifest::{Edit, Manifest, diff};
use freehold_publish::Board;
use serde_json::json;

use crate::commands::cache::keys;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Go back to what an earlier generation of the manifest said
///
/// Of one service, or of all. Makes a new generation with the old content: nothing is taken out of the archive, and hosts notice it
/// like any other.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service
    #[arg(value_name = "SERVICE", required_unless_present = "all", conflicts_with = "all")]
    service: Option<String>,
    /// Everything
    #[arg(long)]
    all: bool,
    /// The generation to go back to [default: the newest in which it was different]
    #[arg(long, value_name = "GENERATION")]
    to: Option<String>,
    /// The bucket or directory with the manifest
    #[arg(long, value_name = "URL")]
    at: String,
    /// File of the signing key [default: $NIX_CACHE_KEY, then ~/.config/nix/cache-priv-key.pem]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    key: Option<PathBuf>,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let board = Board::new(Depot::open(&args.at)?);
    let key = keys::signing(args.key.as_deref(), session)?;
    let Some(current) = board.current()? else {
        return Err(
            Failure::user(format!("there is no manifest in {}", args.at)).hint("`freehold publish` makes the first")
        );
    };
    let old = match &args.to {
        Some(generation) => board.generation(generation)?,
        None => newest_different(&board, &current.manifest, args.service.as_deref())?,
    };
    let published = board.publish(Some(&key), &|_| {
        Ok(match &args.service {
            None => Edit::Restore(old.services.clone()),
            Some(name) => Edit::RestoreOne {
                name: name.clone(),
                service: old.service(name).ok().map(|service| Box::new(service.clone())),
            },
        })
    })?;
    let changes = diff(published.before.as_ref(), Some(&published.manifest));
    if session.ui.json {
        session.ui.json(&json!({
            "format": "freehold.rollback/1", "generation": published.manifest.generation,
            "serial": published.manifest.serial, "as": old.generation, "changes": changes,
        }));
        return Ok(Exit::Ok);
    }
    session.ui.talk(&format!("generation {} says what {} said", published.manifest.generation, old.generation));
    for change in &changes {
        let path = published.manifest.service(&change.service).map(|service| service.artifact.store_path.as_str());
        session.ui.data(&format!("{} {}\n", change.service, path.unwrap_or("(gone)")));
    }
    Ok(Exit::Ok)
}

/// The newest archived manifest that said something else.
fn newest_different(board: &Board, current: &Manifest, service: Option<&str>) -> Result<Manifest, Failure> {
    for generation in board.archived()?.into_iter().rev() {
        let old = board.generation(generation.as_str())?;
        let differs = match service {
            None => old.services != current.services,
            Some(name) => old.service(name).ok() != current.service(name).ok(),
        };
        if differs {
            return Ok(old);
        }
    }
    let of = service.map_or_else(String::new, |name| format!(" of `{name}`"));
    Err(Failure::user(format!("no earlier generation says anything else{of}"))
        .hint("`freehold manifest list` shows them"))
}
