//! `freehold manifest verify`.

use freehold_manifest::{Manifest, suspicions};
use freehold_nar::StorePath;
use serde_json::json;

use super::At;
use crate::commands::cache::keys;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Check the current manifest: its form, its signature, that closures are there whole, that nothing looks like a secret
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
    let trusted = (!args.trusted_key.is_empty()).then_some(&trusted);
    let signer = trusted.map(|trusted| Manifest::verify(&current.bytes, trusted)).transpose()?;
    let mut roots = Vec::new();
    for service in &current.manifest.services {
        roots.push(StorePath::parse(&service.artifact.store_path)?);
    }
    let stop = session.stopper()?;
    let board = args.at.board()?;
    board.depot().heed(&stop);
    let gaps = freehold_cache::gaps(board.depot(), &roots, trusted, &stop)?;
    let mut problems = Vec::new();
    for (service, root) in current.manifest.services.iter().zip(&roots) {
        let own = gaps.iter().filter(|gap| gap.root == *root);
        problems.extend(own.map(|gap| format!("service `{}`: {} {}", service.name, gap.path, gap.what)));
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
