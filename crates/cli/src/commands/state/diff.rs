//! `freehold state diff`.

use freehold_model::Value;
use freehold_plan::Change;
use freehold_state::commands::{self, PlaceChange, RecordChange};
use serde_json::{Value as Json, json};

use crate::commands::held;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::diff;
use crate::render::style::{self, paint};
use crate::render::value::Style;
use crate::session::Session;

/// Show how the record differs between two events
///
/// `freehold state history` shows their numbers.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Number of the earlier event; 0 for the beginning
    #[arg(value_name = "FROM")]
    from: u64,
    /// Number of the later event; without it, now
    #[arg(value_name = "TO")]
    to: Option<u64>,
    #[command(flatten)]
    which: held::Which,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let engine = held::reader(session)?;
    let store = held::store(&engine, &args.which)?;
    let at = |seq: u64| match seq {
        0 => Ok(freehold_state::State::default()),
        seq => commands::state_at(store.backend(), store.keys(), seq),
    };
    let before = at(args.from)?;
    let after = args.to.map_or_else(|| Ok(store.snapshot_view()), at)?;
    let changes = commands::diff(&before, &after);
    if session.ui.json {
        session.ui.json(
            &json!({ "format": "freehold.state-diff/1", "from": before.seq(), "to": after.seq(), "changes": changes }),
        );
        return Ok(Exit::Ok);
    }
    if changes.is_empty() {
        session.ui.talk("no record differs");
    }
    session.ui.data(&changes.iter().map(shown).collect::<String>());
    Ok(Exit::Ok)
}

fn shown(change: &RecordChange) -> String {
    let (style, sign) = match change.change {
        "added" => (style::ADD, "+"),
        "removed" => (style::REMOVE, "-"),
        _ => (style::CHANGE, "~"),
    };
    let places: String = change.places.iter().map(place).collect();
    format!("{} {}\n{places}", paint(style, sign), paint(style::STRONG, &change.member))
}

fn place(place: &PlaceChange) -> String {
    // Secrets are marked in what the state gives out; the marks are none that may be read back.
    let read = |json: &Option<Json>| {
        json.clone().map(|json| {
            Value::from_json_with(json, &mut |word, _| (word == "sensitive").then(|| Value::Null.into_sensitive()))
                .unwrap_or(Value::Unknown)
        })
    };
    let change =
        Change { at: place.at.clone(), before: read(&place.before), after: read(&place.after), forces_replace: false };
    diff::change(&change, 4, Style::PLAN)
}
