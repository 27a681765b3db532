//! `freehold manifest list`.

use serde_json::json;

use super::At;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// List all generations, oldest first
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    at: At,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let mut generations = args.at.board()?.archived()?;
    let current = args.at.current()?.map(|current| current.manifest.generation);
    if let Some(current) = &current
        && !generations.contains(current)
    {
        generations.push(current.clone());
    }
    if session.ui.json {
        session.ui.json(&json!({ "format": "freehold.generations/1", "generations": generations, "current": current }));
        return Ok(Exit::Ok);
    }
    for generation in &generations {
        let mark = if Some(generation) == current.as_ref() { "  (current)" } else { "" };
        session.ui.data(&format!("{generation}{mark}\n"));
    }
    if generations.is_empty() {
        session.ui.talk("there is no manifest yet");
    }
    Ok(Exit::Ok)
}
