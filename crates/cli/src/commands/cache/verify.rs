//! `freehold cache verify`.

use freehold_cache::{Depot, Problem, VerifyOptions};
use serde_json::json;

use crate::commands::cache::{keys, moving::Moving};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::text::{bytes, count, escape_controls};
use crate::session::Session;

/// Look at everything in a cache, and tell what is wrong
///
/// Every narinfo must be readable, its signature good, its NAR there and what it is said to be, and all that it refers to there.
/// Ends with 1 when something is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The cache
    #[arg(long, value_name = "URL")]
    at: String,
    /// A key of which one must have signed each path: NAME:BASE64, or a file that holds it [default: signatures are not looked at]
    #[arg(long, value_name = "KEY")]
    trusted_key: Vec<String>,
    /// Look at the sizes of NARs only, instead of reading them all
    #[arg(long)]
    quick: bool,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let depot = Depot::open(&args.at)?;
    let trusted = keys::trusted(&args.trusted_key)?;
    let stop = session.stopper()?;
    depot.heed(&stop);
    let options = VerifyOptions { trusted: (!args.trusted_key.is_empty()).then_some(&trusted), contents: !args.quick };
    let moving = Moving::new(&session.ui, "verified");
    let verified = freehold_cache::verify(&depot, options, &|news| moving.hear(news), &stop)?;
    drop(moving);
    if session.ui.json {
        let problems: Vec<_> =
            verified.problems.iter().map(|p| json!({ "key": p.key, "path": p.path, "problem": p.what })).collect();
        session.ui.json(&json!({
            "format": "freehold.cache-verify/1", "cache": args.at, "paths": verified.paths,
            "fileBytes": verified.file_bytes, "unnamedNars": verified.unnamed_nars, "problems": problems,
        }));
    } else {
        for Problem { key, path, what } in &verified.problems {
            let subject = path.as_ref().unwrap_or(key);
            session.ui.data(&format!("{}: {}\n", escape_controls(subject), escape_controls(what)));
        }
        let paths = count(verified.paths, "path", "paths");
        session.ui.talk(&format!(
            "{paths}, {}: {}",
            bytes(verified.file_bytes),
            match verified.problems.len() {
                0 => "all as it should be".to_owned(),
                n => count(n, "problem", "problems"),
            }
        ));
        if verified.unnamed_nars > 0 {
            let nars = count(verified.unnamed_nars, "NAR belongs", "NARs belong");
            session.ui.talk(&format!("{nars} to no path: of a push that is under way, or was given up"));
        }
    }
    Ok(if verified.problems.is_empty() { Exit::Ok } else { Exit::Failed })
}
