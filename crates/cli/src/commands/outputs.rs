//! `freehold outputs`.

use clap_complete::ArgValueCompleter;
use freehold_engine::Engine;
use freehold_model::{MemberPath, Value};
use freehold_state::{State, StateError, Store};
use serde_json::{Map, Value as Json, json};

use super::held;
use crate::complete;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::style::{self, paint};
use crate::render::value::{self, Style};
use crate::session::Session;

/// Show the outputs of what was made
///
/// With MEMBER and NAME, one value; `--raw` prints a text as it is, for use in scripts.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Whose; everything below it when it has members
    #[arg(value_name = "MEMBER", add = ArgValueCompleter::new(complete::members))]
    member: Option<MemberPath>,
    /// Which one
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Print a text without quotes and line end, anything else as JSON
    #[arg(long, requires = "name")]
    raw: bool,
    /// Show secrets in clear
    #[arg(long)]
    reveal: bool,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let engine = held::reader(session)?;
    match (&args.member, &args.name) {
        (Some(member), Some(name)) => one(held::state_with(&engine, member), member, name, &args, session),
        (member, _) => all(&engine, member.as_ref(), &args, session),
    }
}

fn one(state: &State, member: &MemberPath, name: &str, args: &Args, session: &Session) -> Result<Exit, Failure> {
    let Some(record) = state.record(member) else {
        if state.records_within(member).next().is_some() {
            let failure = Failure::user(format!("`{member}` is a composite and has no outputs of its own"));
            return Err(failure.hint(format!("`freehold outputs {member}` shows those of its members")));
        }
        return Err(StateError::NoRecord { member: member.clone() }.into());
    };
    let Some(value) = record.outputs.get(name) else {
        let names: Vec<&str> = record.outputs.keys().map(String::as_str).collect();
        let hint = match freehold_model::did_you_mean(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it has {}", if names.is_empty() { "none".to_owned() } else { names.join(", ") }),
        };
        return Err(Failure::user(format!("`{member}` has no output `{name}`")).hint(hint));
    };
    if value.has_sensitive() && !args.reveal && (args.raw || !session.ui.json) {
        return Err(Failure::user(format!("output `{name}` of `{member}` is a secret")).hint("`--reveal` shows it"));
    }
    if args.reveal && state.locked().contains(member) {
        return Err(StateError::Locked { member: member.to_string() }.into());
    }
    let json = json_of(value, args.reveal);
    match (args.raw, &json) {
        (true, Json::String(text)) => session.ui.raw(text.as_bytes()),
        (true, other) => session.ui.raw(other.to_string().as_bytes()),
        (false, _) if session.ui.json => session.ui.json(&json),
        (false, _) => session.ui.data(&format!("{}\n", Style { whole: true, reveal: args.reveal }.show(value, 0))),
    }
    Ok(Exit::Ok)
}

fn all(engine: &Engine, member: Option<&MemberPath>, args: &Args, session: &Session) -> Result<Exit, Failure> {
    let root = MemberPath::root();
    let from = member.unwrap_or(&root);
    let states = || engine.stores().map(Store::view);
    if let Some(member) = member.filter(|m| states().all(|s| s.records_within(m).next().is_none())) {
        return Err(StateError::NoRecord { member: member.clone() }.into());
    }
    if let Some(locked) = states().flat_map(State::locked).find(|m| args.reveal && m.is_within(from)) {
        return Err(StateError::Locked { member: locked.to_string() }.into());
    }
    let of = |s: &State| s.records_within(from).map(|(m, r)| (m.clone(), (m.clone(), r.outputs.clone()))).collect();
    let records = held::by_member(engine, of).into_iter().filter(|(_, outputs)| !outputs.is_empty());
    if session.ui.json {
        let outputs: Map<String, Json> =
            records.map(|(member, outputs)| (member.to_string(), json_of(&Value::Map(outputs), args.reveal))).collect();
        session.ui.json(&json!({ "format": "freehold.outputs/1", "outputs": outputs }));
        return Ok(Exit::Ok);
    }
    let style = Style { whole: member.is_some(), reveal: args.reveal };
    for (member, outputs) in records {
        for (name, shown) in &outputs {
            let member = paint(style::STRONG, &member);
            session.ui.data(&format!("{member}.outputs.{} = {}\n", value::name(name), style.show(shown, 0)));
        }
    }
    Ok(Exit::Ok)
}

fn json_of(value: &Value, reveal: bool) -> Json {
    if reveal { value.to_clear_json() } else { value.to_redacted_json() }
}
