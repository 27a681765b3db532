//! `freehold rollback`: back to what an earlier generation said, as a new generation.

use freehold_cache::Depot;
use freehold_manifest::{Edit, Manifest, diff};
use freehold_publish::{Board, Current, PublishError};
use serde_json::json;

use crate::commands::signing::Signing;
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
    /// Take out what was not there then: hosts will stop it
    #[arg(long)]
    remove: bool,
    #[command(flatten)]
    signing: Signing,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let board = Board::new(Depot::open(&args.at)?);
    let signer = args.signing.signer(session)?;
    let Some(current) = board.current()? else {
        return Err(
            Failure::user(format!("there is no manifest in {}", args.at)).hint("`freehold publish` makes the first")
        );
    };
    let old = match &args.to {
        Some(generation) => board.generation(generation)?,
        None => newest_different(&board, &current.manifest, args.service.as_deref(), session)?,
    };
    let key = old.manifest.generation.archive_key();
    signer.publisher().accept(&old.bytes).map_err(|error| board.strange(&key, error))?;
    let old = old.manifest;
    match &args.service {
        Some(name) => refuse_absent(name, &current.manifest, &old, args.remove)?,
        None => refuse_newer(&current.manifest, &old, args.remove)?,
    }
    let published = board.publish(Some(&signer.publisher()), &|_| {
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

/// Nobody wants a service stopped who has misspelt it, or goes back further than it is old.
fn refuse_absent(name: &str, current: &Manifest, old: &Manifest, remove: bool) -> Result<(), Failure> {
    match (old.service(name), current.service(name)) {
        (Err(_), Err(error)) => Err(error.into()),
        (Err(_), Ok(_)) if !remove => {
            let message = format!("generation {} has no service `{name}`: hosts would stop it", old.generation);
            Err(Failure::user(message).hint("say `--remove` if that is meant, or another generation with `--to`"))
        }
        _ => Ok(()),
    }
}

/// Nor one that was published since, by who wants all others back.
fn refuse_newer(current: &Manifest, old: &Manifest, remove: bool) -> Result<(), Failure> {
    let newer: Vec<String> = current
        .services
        .iter()
        .filter(|service| old.service(&service.name).is_err())
        .map(|service| format!("`{}`", service.name))
        .collect();
    if remove || newer.is_empty() {
        return Ok(());
    }
    let (service, them) = if newer.len() == 1 { ("service", "it") } else { ("services", "them") };
    let message =
        format!("generation {} has no {service} {}: hosts would stop {them}", old.generation, newer.join(", "));
    Err(Failure::user(message).hint(
        "say `--remove` if that is meant, name the services to go back with, or take another generation with `--to`",
    ))
}

/// The newest archived manifest that said something else. One that cannot be read is in nobody's way.
fn newest_different(
    board: &Board,
    current: &Manifest,
    service: Option<&str>,
    session: &Session,
) -> Result<Current, Failure> {
    for generation in board.archived()?.into_iter().rev() {
        let old = match board.from_archive(&generation) {
            Ok(old) => old,
            Err(error @ PublishError::Manifest { .. }) => {
                session.ui.warn(&format!("generation {generation} is passed over: {}", freehold_model::chain(&error)));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let differs = match service {
            None => old.manifest.services != current.services,
            Some(name) => old.manifest.service(name).ok() != current.service(name).ok(),
        };
        if differs {
            return Ok(old);
        }
    }
    if let Some(name) = service {
        current.service(name)?;
    }
    let of = service.map_or_else(String::new, |name| format!(" of `{name}`"));
    Err(Failure::user(format!("no earlier generation says anything else{of}"))
        .hint("`freehold manifest list` shows them"))
}
