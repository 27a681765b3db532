//! `freehold show`.

use clap_complete::ArgValueCompleter;
use freehold_model::{MemberPath, Record, Status, Value};
use freehold_state::State;
use freehold_state::commands as state_commands;
use serde_json::{Map, Value as Json, json};

use super::held;
use crate::complete;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::style::{self, paint};
use crate::render::text::escape_controls;
use crate::render::value::{self, Style};
use crate::session::Session;

/// Show what is recorded of a member, or of everything
///
/// Secrets are hidden unless --reveal is given.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// These members and what is below them
    #[arg(value_name = "MEMBER", add = ArgValueCompleter::new(complete::members))]
    members: Vec<MemberPath>,
    /// Show secrets in clear; asks first
    #[arg(long)]
    reveal: bool,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    if args.reveal {
        session.need_consent("showing secrets")?;
        if !session.consents("show secrets in clear?") {
            return Ok(Exit::Failed);
        }
    }
    let engine = held::reader(session)?;
    let recorded = |m: &MemberPath| engine.stores().any(|s| s.view().records_within(m).next().is_some());
    if let Some(missing) = args.members.iter().find(|m| !recorded(m)) {
        return Err(freehold_state::StateError::NoRecord { member: missing.clone() }.into());
    }
    let wanted = |m: &MemberPath| args.members.is_empty() || args.members.iter().any(|w| m.is_within(w));
    let mut records = Map::new();
    for store in engine.stores() {
        let mut export = state_commands::export(store.view(), [].into_iter(), args.reveal)?;
        if let Json::Object(held) = export["records"].take() {
            records.extend(held);
        }
    }
    if session.ui.json {
        records.retain(|name, _| name.parse().is_ok_and(|m| wanted(&m)));
        session.ui.json(&json!({ "format": "freehold.records/1", "records": records }));
        return Ok(Exit::Ok);
    }
    let style = Style { whole: args.reveal || !args.members.is_empty(), reveal: args.reveal };
    let of = |s: &State| {
        let shown = s.records().filter(|(m, _)| wanted(m));
        shown.map(|(m, r)| (m.clone(), record(m, r, style))).collect()
    };
    let shown: Vec<String> = held::by_member(&engine, of);
    if shown.is_empty() {
        session.ui.talk("nothing is recorded yet: `freehold apply` makes what is declared");
    }
    session.ui.data(&shown.join("\n"));
    Ok(Exit::Ok)
}

/// One record as a block.
fn record(member: &MemberPath, record: &Record, style: Style) -> String {
    let kind = format!("{}.{}", record.provider.name, record.type_name);
    let mut text = format!("{}  {}", paint(style::STRONG, member), paint(style::FAINT, escape_controls(&kind)));
    if record.status == Status::Tainted {
        text += &paint(style::REMOVE, "  its creation failed half-way");
    }
    for (flag, word) in
        [(record.protect, "protected"), (record.keep, "kept"), (record.create_before_destroy, "create first")]
    {
        if flag {
            text += &paint(style::LOOK, format!("  {word}"));
        }
    }
    if let Some(holder) = &record.holder {
        text += &paint(style::FAINT, format!("  held by {holder}"));
    }
    text.push('\n');
    for (title, attrs) in [("inputs", &record.inputs), ("outputs", &record.outputs)] {
        for (name, shown) in attrs.iter().filter(|(_, v)| **v != Value::Null) {
            text += &format!("  {title}.{} = {}\n", value::name(name), style.show(shown, 2));
        }
    }
    if !record.edges.is_empty() {
        let edges: Vec<String> = record.edges.iter().map(ToString::to_string).collect();
        text += &format!("  {} {}\n", paint(style::FAINT, "needs"), edges.join(", "));
    }
    for old in &record.deposed {
        text += &paint(style::CHANGE, format!("  old object {} is still to be deleted\n", escape_controls(&old.key)));
    }
    text
}
