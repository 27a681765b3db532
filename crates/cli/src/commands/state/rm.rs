//! `freehold state rm`.

use clap_complete::ArgValueCompleter;
use freehold_engine::Engine;
use freehold_model::MemberPath;
use freehold_state::{Owner, Store, commands};
use serde_json::json;

use super::{locked, owner};
use crate::commands::held;
use crate::complete;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::text::count;
use crate::session::Session;

/// Forget members: their objects stay in the world, unmanaged
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which, and what is below them
    #[arg(value_name = "MEMBER", required = true, add = ArgValueCompleter::new(complete::members))]
    members: Vec<MemberPath>,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    session.need_consent("`freehold state rm`")?;
    let mut engine = held::reader(session)?;
    let names: Vec<String> = args.members.iter().map(|m| format!("`{m}`")).collect();
    if !session.consents(&format!("forget {} and leave the objects in the world?", names.join(", "))) {
        session.ui.talk("nothing was changed");
        return Ok(Exit::Failed);
    }
    let is_meant = |path: &MemberPath| args.members.iter().any(|member| path.is_within(member));
    for member in engine.holders().filter(|holder| is_meant(holder)) {
        let kept = engine.store_held_by(member).and_then(|s| {
            let mut kept = s.view().records().map(|(path, _)| path).filter(|path| !is_meant(path));
            kept.next().cloned()
        });
        if let Some(held) = kept {
            let hint = "let another member hold them first (`state = members.…`), or forget them, too, before it";
            return Err(Failure::user(format!("`{member}` holds records, that of `{held}` among them")).hint(hint));
        }
    }
    let owner = owner(&engine);
    let mut removed = 0;
    for member in &args.members {
        removed += remove(&mut engine, &owner, member)?;
    }
    if session.ui.json {
        session.ui.json(&json!({ "format": "freehold.state-rm/1", "removed": removed }));
    } else {
        // What was begun and never ended is forgotten along with the record, or alone where there is none.
        let what = if removed == 0 { "what was left open".to_owned() } else { count(removed, "record", "records") };
        session.ui.data(&format!("forgot {what}\n"));
    }
    Ok(Exit::Ok)
}

/// What is at a member and below it, whoever holds it: what others hold first, for the records of those that hold go, too.
fn remove(engine: &mut Engine, owner: &Owner, member: &MemberPath) -> Result<usize, Failure> {
    let is_there = |store: &Store| {
        let state = store.view();
        state.records_within(member).next().is_some() || state.intents().iter().any(|i| i.member.is_within(member))
    };
    let mut stores: Vec<&mut Store> = engine.stores_mut().filter(|store| is_there(store)).collect();
    if stores.is_empty() {
        return locked(engine.store_of_mut(member), owner, |store| Ok(commands::remove(store, member)?));
    }
    stores.reverse();
    let mut removed = 0;
    for store in stores {
        removed += locked(store, owner, |store| Ok(commands::remove(store, member)?))?;
    }
    Ok(removed)
}
