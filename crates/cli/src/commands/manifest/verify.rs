//! `freehold manifest verify`.

use freehold_manifest::{Manifest, suspicions};
use serde_json::json;

use super::At;
use crate::commands::cache::keys;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Check the current manifest: its form, its signature, that closures are there, that nothing looks like a secret
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    at: At,
    /// A key that is trusted: NAME:BASE64, or a file that holds it
    #[arg(long, value_name = "KEY")]
    trusted_key: Vec<String>,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let trusted = keys::trusted(&args.trusted_key)?;
    let Some(current) = args.at.current()? else {
        session.ui.talk("there is no manifest yet, which is no fault");
        return Ok(Exit::Ok);
    };
    let signer = if trusted.is_empty() { None } else { Some(Manifest::verify(&current.bytes, &trusted)?) };
    let board = args.at.board()?;
    let mut problems = Vec::new();
    for service in &current.manifest.services {
        let path = freehold_nar::StorePath::parse(&service.artifact.store_path)?;
        if board.depot().head(&freehold_nar::NarInfo::key_of(&path))?.is_none() {
            problems.push(format!("service `{}`: {path} is not in the cache", service.name));
        }
    }
    for found in suspicions(&current.manifest) {
        problems.push(format!("service `{}`: `{}` looks like a secret: {}", found.service, found.at, found.why));
    }
    if session.ui.json {
        session.ui.json(&json!({
            "format": "freehold.manifest-verify/1", "generation": current.manifest.generation, "signedBy": signer,
            "problems": problems,
        }));
    } else {
        for problem in &problems {
            session.ui.data(&format!("{problem}\n"));
        }
        let signed = signer.map_or_else(|| "signature not checked".to_owned(), |key| format!("signed by {key}"));
        session.ui.talk(&format!(
            "generation {}: {signed}, {}",
            current.manifest.generation,
            crate::render::text::count(problems.len(), "problem", "problems")
        ));
    }
    Ok(if problems.is_empty() { Exit::Ok } else { Exit::Failed })
}
