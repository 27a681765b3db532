//! `freehold manifest diff`.

use freehold_manifest::{Change, diff};
use serde_json::json;

use super::At;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::style::{self, paint};
use crate::render::text::escape_controls;
use crate::session::Session;

/// Show what is different between two generations
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The older generation [default: the newest in the archive that is not current]
    #[arg(value_name = "FROM")]
    from: Option<String>,
    /// The newer generation [default: the current one]
    #[arg(value_name = "TO")]
    to: Option<String>,
    #[command(flatten)]
    at: At,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let board = args.at.board()?;
    let current = board.current()?.map(|current| current.manifest);
    let to = match &args.to {
        Some(generation) => Some(board.generation(generation)?.manifest),
        None => current,
    };
    let from = match &args.from {
        Some(generation) => Some(board.generation(generation)?.manifest),
        None => {
            let newest = |generation: &_| Some(generation) != to.as_ref().map(|manifest| &manifest.generation);
            let before = board.archived()?.into_iter().rfind(newest);
            before.map(|generation| Ok::<_, Failure>(board.from_archive(&generation)?.manifest)).transpose()?
        }
    };
    let differences = diff(from.as_ref(), to.as_ref());
    if session.ui.json {
        let generation = |manifest: Option<freehold_manifest::Manifest>| manifest.map(|manifest| manifest.generation);
        session.ui.json(&json!({
            "format": "freehold.manifest-diff/1", "from": generation(from), "to": generation(to), "differences": differences,
        }));
        return Ok(Exit::Ok);
    }
    for difference in &differences {
        let mark = match difference.change {
            Change::Added => paint(style::ADD, "+"),
            Change::Removed => paint(style::REMOVE, "-"),
            Change::Changed => paint(style::CHANGE, "~"),
        };
        let mut text = format!("{mark} {}\n", difference.service);
        for field in &difference.fields {
            text += &format!("    {} {} → {}\n", field.at, field.before, field.after);
        }
        session.ui.data(&escape_lines(&text));
    }
    if differences.is_empty() {
        session.ui.talk("nothing is different");
    }
    Ok(Exit::Ok)
}

/// Line by line, for the marks have colours of our own.
fn escape_lines(text: &str) -> String {
    text.lines()
        .map(|line| if line.starts_with("    ") { format!("{}\n", escape_controls(line)) } else { format!("{line}\n") })
        .collect()
}
