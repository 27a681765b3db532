//! `freehold cache gc`.

use std::time::Duration;

use freehold_cache::{Collected, Depot, GcOptions};
use freehold_model::limits;
use serde_json::json;

use crate::commands::cache::paths;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::text::{bytes, count};
use crate::session::Session;

/// Delete what no manifest names from a cache
///
/// Prints the paths that go, and deletes them with --delete. What manifest.json and the manifests under manifests/ name is
/// kept with all that it needs, and so is what is young: a push or a manifest may be about to name it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The cache
    #[arg(long, value_name = "URL")]
    at: String,
    /// Keep this path with all that it needs, too
    #[arg(long, value_name = "PATH")]
    keep: Vec<String>,
    /// Leave alone what is younger: 36h, 7d [default: 24h]
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<Duration>,
    /// Delete
    #[arg(long)]
    delete: bool,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let depot = Depot::open(&args.at)?;
    let keep = paths::store_paths(&args.keep)?;
    let stop = session.stopper()?;
    depot.heed(&stop);
    let age = args.older_than.unwrap_or(limits::CACHE_GC_AGE);
    let options = GcOptions { keep: &keep, age, delete: args.delete };
    let collected = freehold_cache::gc(&depot, &options, &stop)?;
    if session.ui.json {
        session.ui.json(&json!({
            "format": "freehold.cache-gc/1", "cache": args.at, "deleted": args.delete, "paths": collected.paths,
            "nars": collected.nars, "bytes": collected.bytes, "kept": collected.kept,
            "absent": collected.absent, "unreadable": collected.unreadable,
        }));
        return Ok(Exit::Ok);
    }
    tell(&collected, args.delete, session);
    Ok(Exit::Ok)
}

fn tell(collected: &Collected, deleted: bool, session: &Session) {
    for path in &collected.paths {
        session.ui.data(&format!("{path}\n"));
    }
    for path in &collected.absent {
        session.ui.warn(&format!("`{path}` is to be kept and not in the cache"));
    }
    for key in &collected.unreadable {
        session.ui.warn(&format!("`{key}` cannot be read, and stays with all NARs that may be its own"));
    }
    let verb = if deleted { "deleted" } else { "would delete" };
    let (paths, nars) = (count(collected.paths.len(), "path", "paths"), count(collected.nars, "NAR", "NARs"));
    session.ui.talk(&format!("{verb} {paths} and {nars} ({}); {} stay", bytes(collected.bytes), collected.kept));
    if !deleted && collected.paths.len() + collected.nars > 0 {
        session.ui.talk("say `--delete` to do so");
    }
}

/// `90s`, `30m`, `36h`, `7d`.
fn age(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is no age: write 90s, 30m, 36h or 7d");
    let unit = text.chars().last().ok_or_else(bad)?;
    let each: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(bad()),
    };
    let number: u64 = text.strip_suffix(unit).and_then(|digits| digits.parse().ok()).ok_or_else(bad)?;
    number.checked_mul(each).map(Duration::from_secs).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_a_number_and_a_unit() {
        assert_eq!(age("7d").unwrap(), Duration::from_secs(7 * 86_400));
        assert_eq!(age("0s").unwrap(), Duration::ZERO);
        for text in ["", "7", "d", "7w", "-1h", "1.5h", "99999999999999999999d", "9999999999999999d", "7ä"] {
            assert!(age(text).is_err(), "{text}");
        }
    }
}
