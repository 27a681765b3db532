//! `freehold state list`.

use clap_complete::ArgValueCompleter;
use freehold_model::{MemberPath, Status};
use freehold_state::commands::{self, Listed};
use serde_json::json;

use crate::commands::held;
use crate::complete;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::style::{self, paint};
use crate::render::table::table;
use crate::render::text::escape_controls;
use crate::session::Session;

/// List what is recorded, and what was left open
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this member and what is below it
    #[arg(value_name = "MEMBER", default_value = ".", hide_default_value = true, add = ArgValueCompleter::new(complete::members))]
    member: MemberPath,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let engine = held::reader(session)?;
    let records = held::by_member(&engine, |s| {
        commands::list(s, &args.member).into_iter().map(|l| (l.member.clone(), l)).collect()
    });
    let intents = engine.stores().flat_map(|store| store.view().intents());
    let open: Vec<_> = intents.filter(|i| i.member.is_within(&args.member)).collect();
    if !args.member.is_root() && records.is_empty() && open.is_empty() {
        let recorded: Vec<&MemberPath> =
            engine.stores().flat_map(|store| store.view().records().map(|(path, _)| path)).collect();
        let what = "record of a member";
        return Err(held::unknown_member(what, &args.member, recorded.into_iter(), "freehold state list"));
    }
    if session.ui.json {
        let intents: Vec<_> = open
            .iter()
            .map(|i| json!({ "op": i.op, "member": i.member, "action": i.action, "since": i.time, "who": i.who }))
            .collect();
        session.ui.json(&json!({ "format": "freehold.state-list/1", "records": records, "intents": intents }));
        return Ok(Exit::Ok);
    }
    let rows: Vec<Vec<String>> = records.iter().map(row).collect();
    session.ui.data(&table(&[], &rows));
    for intent in open {
        session.ui.warn(&format!(
            "{} of `{}` was begun at {} and never ended",
            intent.action.as_str(),
            intent.member,
            intent.time
        ));
    }
    Ok(Exit::Ok)
}

fn row(listed: &Listed) -> Vec<String> {
    let mut marks = Vec::new();
    if listed.status == Status::Tainted {
        marks.push(paint(style::REMOVE, "tainted"));
    }
    if listed.open {
        marks.push(paint(style::CHANGE, "left open"));
    }
    if listed.deposed > 0 {
        marks.push(paint(style::CHANGE, format!("{} old", listed.deposed)));
    }
    if listed.protect {
        marks.push("protected".to_owned());
    }
    if listed.locked {
        marks.push(paint(style::CHANGE, "secrets locked"));
    }
    if let Some(holder) = &listed.holder {
        marks.push(format!("held by {holder}"));
    }
    let resource = paint(style::FAINT, escape_controls(&listed.resource));
    vec![paint(style::STRONG, &listed.member), resource, marks.join(", ")]
}
