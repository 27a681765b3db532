//! `freehold status`, and what `freehold` alone says.

use freehold_engine::Engine;
use freehold_model::ErrorKind;
use freehold_state::{HistoryEntry, Store};
use serde_json::json;

use super::held;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::style::{self, paint};
use crate::render::text::{count, escape_controls};
use crate::render::{table, timeline};
use crate::session::Session;

/// Show what is here: the deployment, its state, who works on it, what the last run did, what was left open
///
/// Looks at the record only; whether the world is still as recorded is what `freehold drift` finds out.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: Args, session: &Session) -> Result<Exit, Failure> {
    let engine = held::reader(session)?;
    if session.ui.json {
        session.ui.json(&status_json(&engine)?);
    } else {
        session.ui.data(&status_text(&engine)?);
    }
    Ok(Exit::Ok)
}

/// What can be done next here.
pub(crate) fn next(session: &Session) -> Result<Exit, Failure> {
    let engine = match held::reader(session) {
        Ok(engine) => engine,
        Err(failure)
            if failure.kind == ErrorKind::User && session.global.file.is_none() && session.entry().is_err() =>
        {
            let cwd = session.cwd()?;
            if session.ui.json {
                session.ui.json(&json!({ "format": "freehold.status/1", "deployment": null }));
            } else {
                session.ui.data(&nothing_here(&cwd.display().to_string()));
            }
            return Ok(Exit::Ok);
        }
        Err(failure) => return Err(failure),
    };
    if session.ui.json {
        session.ui.json(&status_json(&engine)?);
        return Ok(Exit::Ok);
    }
    session.ui.data(&format!("{}\nnext:\n{}", status_text(&engine)?, suggestions(engine.store())?));
    Ok(Exit::Ok)
}

fn nothing_here(dir: &str) -> String {
    let rows = [
        ("freehold init", "start a deployment here"),
        ("freehold --file PATH plan", "look at one that is elsewhere"),
        ("freehold doctor", "check what this machine has"),
        ("freehold help", "all commands"),
    ];
    format!("There is no deployment in {dir}.\n\nnext:\n{}", commands(&rows))
}

fn suggestions(store: &Store) -> Result<String, Failure> {
    let state = store.view();
    let mut rows: Vec<(&str, &str)> = Vec::new();
    if store.holder()?.is_some() {
        rows.push(("freehold state unlock", "who works on it, and how to take over from one that is gone"));
    }
    if !state.intents().is_empty() {
        rows.push(("freehold plan", "look into what an interrupted run left open"));
    } else if state.records().len() == 0 {
        rows.push(("freehold plan", "what would be made"));
    } else {
        rows.push(("freehold plan", "what would change"));
    }
    rows.push(("freehold apply", "do it"));
    if state.records().len() > 0 {
        rows.push(("freehold drift", "is the world as recorded?"));
        rows.push(("freehold outputs", "values of what was made"));
    }
    rows.push(("freehold members", "what is declared and what is recorded"));
    rows.push(("freehold help", "all commands"));
    Ok(commands(&rows))
}

fn commands(rows: &[(&str, &str)]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|(command, why)| vec![format!("  {}", paint(style::STRONG, command)), (*why).to_owned()])
        .collect();
    table::table(&[], &rows)
}

fn last_run(store: &Store) -> Option<&HistoryEntry> {
    store.view().history().rev().find(|e| e.what == "apply-started" || e.what == "apply-ended")
}

fn status_text(engine: &Engine) -> Result<String, Failure> {
    let (entry, store) = (&engine.options().entry, engine.store());
    let state = store.view();
    let mut rows = vec![
        vec!["deployment".to_owned(), paint(style::STRONG, entry.describe())],
        vec!["state".to_owned(), format!("{} ({})", store.place(), count(state.records().len(), "record", "records"))],
    ];
    for held in engine.stores().skip(1) {
        let records = count(held.view().records().len(), "record", "records");
        rows.push(vec![String::new(), format!("{} ({records})", held.place())]);
    }
    if let Some(holder) = store.holder()? {
        rows.push(vec!["locked by".to_owned(), paint(style::CHANGE, escape_controls(&holder.to_string()))]);
    }
    if !state.locked().is_empty() {
        let what = count(state.locked().len(), "member has", "members have");
        rows.push(vec![
            "secrets".to_owned(),
            paint(style::CHANGE, format!("{what} secrets that no identity at hand opens")),
        ]);
    }
    let last = last_run(store).map_or_else(|| "none yet".to_owned(), timeline::entry_text);
    rows.push(vec!["last run".to_owned(), last]);
    for intent in engine.stores().flat_map(|store| store.view().intents()) {
        let what = format!("{} of `{}` since {} by {}", intent.action.as_str(), intent.member, intent.time, intent.who);
        rows.push(vec!["left open".to_owned(), paint(style::CHANGE, escape_controls(&what))]);
    }
    rows.push(vec!["drift".to_owned(), "not looked for (`freehold drift` does)".to_owned()]);
    Ok(table::table(&[], &rows))
}

fn status_json(engine: &Engine) -> Result<serde_json::Value, Failure> {
    let (entry, store) = (&engine.options().entry, engine.store());
    let state = store.view();
    let held: Vec<serde_json::Value> = engine
        .stores()
        .skip(1)
        .map(|s| json!({ "place": s.place(), "seq": s.view().seq(), "records": s.view().records().len() }))
        .collect();
    let holder = store.holder()?.map(|h| json!({ "owner": h.owner, "fence": h.fence, "expires": h.expires }));
    let intents: Vec<serde_json::Value> = engine
        .stores()
        .flat_map(|store| store.view().intents())
        .map(|i| json!({ "op": i.op, "member": i.member, "action": i.action, "since": i.time, "who": i.who }))
        .collect();
    Ok(json!({
        "format": "freehold.status/1",
        "deployment": entry.describe(),
        "state": { "place": store.place(), "lineage": state.lineage(), "seq": state.seq(), "records": state.records().len() },
        "held": held,
        "holder": holder,
        "lockedSecrets": state.locked(),
        "lastRun": last_run(store),
        "intents": intents,
    }))
}
