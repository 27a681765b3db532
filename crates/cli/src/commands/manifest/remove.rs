//! `freehold manifest remove`.

use freehold_manifest::Edit;
use serde_json::json;

use super::At;
use crate::commands::signing::Signing;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Take a service out of the manifest: hosts will stop it, and keep its data
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service
    #[arg(value_name = "SERVICE")]
    service: String,
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    signing: Signing,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let signer = args.signing.signer(session)?;
    let published = args.at.board()?.publish(Some(&signer.publisher()), &|_| Ok(Edit::Remove(args.service.clone())))?;
    let generation = &published.manifest.generation;
    if session.ui.json {
        session.ui.json(&json!({
            "format": "freehold.manifest-remove/1", "service": args.service, "generation": generation,
            "serial": published.manifest.serial,
        }));
        return Ok(Exit::Ok);
    }
    session
        .ui
        .talk(&format!("generation {generation} is without `{}`: hosts will stop it at the next look", args.service));
    Ok(Exit::Ok)
}
