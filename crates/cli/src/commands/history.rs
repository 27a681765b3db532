//! `freehold history`.

use clap_complete::ArgValueCompleter;
use freehold_model::MemberPath;
use freehold_state::{HistoryEntry, Intent};
use serde_json::json;

use super::held;
use crate::complete;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::timeline::timeline;
use crate::session::Session;

/// Show what was done, when and by whom, as a time line
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only what concerns this member and those below it
    #[arg(value_name = "MEMBER", add = ArgValueCompleter::new(complete::members))]
    member: Option<MemberPath>,
    /// How many entries, the latest ones; 0 for all that are kept
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let engine = held::reader(session)?;
    let concerns = |entry: &&HistoryEntry| match (&args.member, &entry.member) {
        (None, _) => true,
        (Some(root), Some(member)) => member.is_within(root),
        (Some(_), None) => false,
    };
    if let Some(member) = &args.member {
        let views: Vec<_> = engine.stores().map(freehold_state::Store::view).collect();
        let told = views.iter().flat_map(|view| view.history()).filter_map(|entry| entry.member.as_ref());
        let recorded = views.iter().flat_map(|view| view.records().map(|(path, _)| path));
        let known: Vec<&MemberPath> = told.chain(recorded).collect();
        if !known.iter().any(|path| path.is_within(member)) {
            return Err(held::unknown_member("history of a member", member, known.into_iter(), "freehold history"));
        }
    }
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let histories = engine.stores().flat_map(|store| store.view().history());
    let begun: Vec<HistoryEntry> = engine.stores().flat_map(|store| store.view().intents()).map(begun).collect();
    let mut entries: Vec<&HistoryEntry> = histories.chain(&begun).filter(concerns).collect();
    // Of several logs: what was at the same time stays in the order of each.
    entries.sort_by(|a, b| a.time.cmp(&b.time));
    entries.drain(..entries.len().saturating_sub(limit));
    if session.ui.json {
        session.ui.json(&json!({ "format": "freehold.history/1", "entries": entries }));
        return Ok(Exit::Ok);
    }
    if entries.is_empty() {
        session.ui.talk("nothing was done yet");
    }
    session.ui.data(&timeline(entries.into_iter(), false));
    Ok(Exit::Ok)
}

/// What was begun and did not end, by whomever it was killed, or is under way.
fn begun(intent: &Intent) -> HistoryEntry {
    let what = match &intent.operation {
        Some(operation) => format!("{} {operation}", intent.action.as_str()),
        None => intent.action.as_str().to_owned(),
    };
    HistoryEntry {
        seq: intent.since,
        began: intent.since,
        time: intent.time.clone(),
        who: intent.who.clone(),
        op: intent.op.clone(),
        member: Some(intent.member.clone()),
        what: "begun".to_owned(),
        ok: true,
        detail: format!("{what}, and no end of it is recorded").into(),
    }
}
