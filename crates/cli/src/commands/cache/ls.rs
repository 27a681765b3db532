//! `freehold cache ls`.

use freehold_cache::Depot;
use freehold_nar::{NarInfo, StorePath};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::style::{self, paint};
use crate::render::table::table;
use crate::render::text::{bytes, escape_controls};
use crate::session::Session;

/// List the paths of a cache
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The cache
    #[arg(long, value_name = "URL")]
    at: String,
    /// Only paths whose name has this in it
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let depot = Depot::open(&args.at)?;
    let stop = session.stopper()?;
    depot.heed(&stop);
    let mut infos = freehold_cache::list(&depot, &stop)?;
    if let Some(name) = &args.name {
        infos.retain(|info| info.path.base_name().contains(name.as_str()));
    }
    if session.ui.json {
        let paths: Vec<_> = infos.iter().map(as_json).collect();
        session.ui.json(&json!({ "format": "freehold.cache-ls/1", "cache": args.at, "paths": paths }));
        return Ok(Exit::Ok);
    }
    let rows: Vec<Vec<String>> = infos.iter().map(row).collect();
    session.ui.data(&table(&[], &rows));
    Ok(Exit::Ok)
}

fn as_json(info: &NarInfo) -> serde_json::Value {
    json!({
        "path": info.path.as_str(), "narHash": info.nar_hash.to_string(), "narSize": info.nar_size,
        "url": info.url, "compression": info.compression.as_str(), "fileSize": info.file_size,
        "references": info.references.iter().map(StorePath::as_str).collect::<Vec<_>>(),
        "deriver": info.deriver, "signatures": info.signatures,
    })
}

fn row(info: &NarInfo) -> Vec<String> {
    let names: Vec<&str> = info.signatures.iter().filter_map(|s| Some(s.split_once(':')?.0)).collect();
    let signed = if names.is_empty() { "not signed".to_owned() } else { names.join(" ") };
    vec![info.path.to_string(), bytes(info.nar_size), paint(style::FAINT, escape_controls(&signed))]
}
