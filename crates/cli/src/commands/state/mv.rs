//! `freehold state mv`.

use clap_complete::ArgValueCompleter;
use freehold_engine::Engine;
use freehold_model::MemberPath;
use freehold_state::{Owner, StateError, Store, SystemClock, commands};
use serde_json::json;
use std::sync::Arc;

use super::{locked, owner};
use crate::commands::held;
use crate::complete;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::text::count;
use crate::session::Session;

/// Give records another path, or move them to another state
///
/// `state mv a b`: the records of `a` and below are those of `b` now. `state mv --to LOCATION [MEMBER]`: they are recorded in the
/// state at LOCATION and no longer here. The world is not touched.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The member (and what is below it) whose records move
    #[arg(value_name = "FROM", required_unless_present = "to", add = ArgValueCompleter::new(complete::members))]
    from: Option<MemberPath>,
    /// Its new path
    #[arg(value_name = "TO", required_unless_present = "to", conflicts_with = "to", add = ArgValueCompleter::new(complete::members))]
    new: Option<MemberPath>,
    /// Another state: a directory, or s3://BUCKET/PREFIX?…
    #[arg(long, value_name = "LOCATION", value_hint = clap::ValueHint::AnyPath)]
    to: Option<String>,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let mut engine = held::reader(session)?;
    let owner = owner(&engine);
    let from = args.from.unwrap_or_else(MemberPath::root);
    let moved = match (args.new, args.to) {
        (Some(new), _) => rename(&mut engine, &owner, &from, &new)?,
        (None, Some(to)) => {
            let dir = engine.options().entry.dir.clone();
            let backend = session.backend_at(&to)?;
            let mut target = Store::open(backend, session.keys(&dir)?, Arc::new(SystemClock))?;
            if target.place() == engine.store().place() {
                return Err(Failure::user("the records are in that state already"));
            }
            send(&mut engine, &owner, &from, &mut target)?
        }
        (None, None) => return Err(Failure::usage("the new path is missing").hint("freehold state mv FROM TO")),
    };
    if session.ui.json {
        session.ui.json(&json!({ "format": "freehold.state-mv/1", "moved": moved }));
    } else {
        session.ui.data(&format!("moved {}\n", count(moved, "record", "records")));
    }
    Ok(Exit::Ok)
}

/// To another state. Records that a member holds stay with it, which goes; those that are asked for alone leave it.
fn send(engine: &mut Engine, owner: &Owner, from: &MemberPath, target: &mut Store) -> Result<usize, Failure> {
    let has = |store: &Store| store.view().records_within(from).next().is_some();
    if has(engine.store()) {
        return locked(engine.store_mut(), owner, |here| {
            locked(target, owner, |there| Ok(commands::move_to(here, there, from)?))
        });
    }
    let mut moved = 0;
    for store in engine.stores_mut().filter(|store| has(store)) {
        moved += locked(store, owner, |here| locked(target, owner, |there| Ok(commands::move_to(here, there, from)?)))?;
    }
    match moved {
        0 => Err(StateError::NoRecord { member: from.clone() }.into()),
        _ => Ok(moved),
    }
}

/// In every log that has records at or below `from`; nothing moves when one of them cannot.
fn rename(engine: &mut Engine, owner: &Owner, from: &MemberPath, to: &MemberPath) -> Result<usize, Failure> {
    let has = |store: &&mut Store| store.view().records_within(from).next().is_some();
    for store in engine.stores() {
        commands::check_move(store.view(), from, to)?;
    }
    let mut moved = 0;
    for store in engine.stores_mut().filter(has) {
        moved += locked(store, owner, |store| Ok(commands::move_records(store, from, to)?))?;
    }
    match moved {
        0 => Err(StateError::NoRecord { member: from.clone() }.into()),
        _ => Ok(moved),
    }
}
