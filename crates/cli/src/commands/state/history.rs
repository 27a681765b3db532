//! `freehold state history`.

use clap_complete::ArgValueCompleter;
use freehold_model::MemberPath;
use freehold_state::commands;
use serde_json::json;

use crate::commands::held;
use crate::complete;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::timeline::timeline;
use crate::session::Session;

/// Show the whole history, from the first event on, with the numbers that `state diff` takes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only what concerns this member and those below it
    #[arg(value_name = "MEMBER", add = ArgValueCompleter::new(complete::members))]
    member: Option<MemberPath>,
    #[command(flatten)]
    which: held::Which,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let engine = held::reader(session)?;
    let store = held::store(&engine, &args.which)?;
    let entries = commands::history(store.backend(), store.keys(), args.member.as_ref())?;
    if session.ui.json {
        session.ui.json(&json!({ "format": "freehold.history/1", "entries": entries }));
    } else {
        session.ui.data(&timeline(entries.iter(), true));
    }
    Ok(Exit::Ok)
}
