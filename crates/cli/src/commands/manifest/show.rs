//! `freehold manifest show`.

use freehold_manifest::Manifest;

use super::At;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::table::table;
use crate::session::Session;

/// Show what hosts are told to run
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// This service only, with everything that is said of it
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    #[command(flatten)]
    at: At,
    /// This generation instead of the current one
    #[arg(long, value_name = "GENERATION")]
    generation: Option<String>,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let manifest = match &args.generation {
        Some(generation) => Some(args.at.board()?.generation(generation)?.manifest),
        None => args.at.current()?.map(|current| current.manifest),
    };
    let Some(manifest) = manifest else {
        if session.ui.json {
            session.ui.json(&serde_json::Value::Null);
        } else {
            session.ui.talk("there is no manifest yet: nothing is to run");
        }
        return Ok(Exit::Ok);
    };
    if let Some(name) = &args.service {
        let service = serde_json::to_value(manifest.service(name)?).unwrap_or_default();
        session.ui.data(&format!("{}\n", serde_json::to_string_pretty(&service).unwrap_or_default()));
        return Ok(Exit::Ok);
    }
    if session.ui.json {
        session.ui.json(&serde_json::to_value(&manifest).unwrap_or_default());
        return Ok(Exit::Ok);
    }
    session.ui.data(&text(&manifest));
    Ok(Exit::Ok)
}

fn text(manifest: &Manifest) -> String {
    let serial = manifest.serial.map(|serial| format!(", serial {serial}")).unwrap_or_default();
    let signers: Vec<&str> = manifest.signatures.iter().map(|signature| signature.key.as_str()).collect();
    let signed = if signers.is_empty() { "not signed".to_owned() } else { format!("signed by {}", signers.join(", ")) };
    let rows: Vec<Vec<String>> = manifest
        .services
        .iter()
        .map(|service| {
            let hosts = if service.hosts.is_empty() { "(all)".to_owned() } else { service.hosts.join(", ") };
            let routes: Vec<String> = service
                .http
                .iter()
                .flat_map(|http| {
                    http.all_domains()
                        .into_iter()
                        .flat_map(|domain| http.all_paths().into_iter().map(move |path| format!("{domain}{path}")))
                })
                .collect();
            vec![service.name.clone(), hosts, service.artifact.store_path.clone(), routes.join(" ")]
        })
        .collect();
    let head = format!("generation {}{serial}, {signed}\n", manifest.generation);
    if rows.is_empty() {
        head + "no services\n"
    } else {
        head + &table(&["service", "hosts", "store path", "route"], &rows)
    }
}
