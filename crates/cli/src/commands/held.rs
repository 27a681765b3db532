//! Commands that show records, wherever those are held.

use std::collections::{BTreeMap, BTreeSet};

use clap_complete::ArgValueCompleter;
use freehold_engine::Engine;
use freehold_model::{MemberPath, did_you_mean};
use freehold_state::{State, Store};

use crate::complete;
use crate::failure::Failure;
use crate::session::Session;

/// An engine for looking at the state that has also opened the logs which recorded members hold.
///
/// # Errors
/// As [`Session::reader`]. A holder that cannot be read is warned of.
pub(crate) fn reader(session: &Session) -> Result<Engine, Failure> {
    let mut engine = session.reader()?;
    for (holder, why) in engine.open_holders() {
        session.ui.warn(&format!("the state that `{holder}` holds cannot be read: {why}"));
    }
    Ok(engine)
}

/// What is said of a member that is not there, with the nearest of those that are.
pub(crate) fn unknown_member<'a>(
    what: &str,
    member: &MemberPath,
    known: impl Iterator<Item = &'a MemberPath>,
    list: &str,
) -> Failure {
    let known: BTreeSet<String> = known.map(ToString::to_string).collect();
    let near = did_you_mean(&member.to_string(), known.iter().map(String::as_str));
    let hint = near.map_or_else(|| format!("`{list}` lists them"), |near| format!("did you mean `{near}`?"));
    Failure::user(format!("there is no {what} `{member}`")).hint(hint)
}

/// The state that has something recorded at or below `member`; the deployment's own when none has.
pub(crate) fn state_with<'a>(engine: &'a Engine, member: &MemberPath) -> &'a State {
    let has = |state: &&State| state.records_within(member).next().is_some();
    engine.stores().map(Store::view).find(has).unwrap_or_else(|| engine.store().view())
}

/// Which log a command looks at that looks at one.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// The log that this member holds, instead of the deployment's own
    #[arg(long, value_name = "MEMBER", add = ArgValueCompleter::new(complete::members))]
    pub(crate) held_by: Option<MemberPath>,
}

/// The log that was asked for.
///
/// # Errors
/// When that member holds none.
pub(crate) fn store<'a>(engine: &'a Engine, which: &Which) -> Result<&'a Store, Failure> {
    let Some(holder) = &which.held_by else { return Ok(engine.store()) };
    engine.store_held_by(holder).ok_or_else(|| {
        let own = "without --held-by it is the deployment's own log that is looked at";
        Failure::user(format!("`{holder}` holds no log")).hint(own)
    })
}

/// What is made of each state, in the order of the members.
pub(crate) fn by_member<T>(engine: &Engine, of: impl Fn(&State) -> Vec<(MemberPath, T)>) -> Vec<T> {
    let all: BTreeMap<MemberPath, T> = engine.stores().flat_map(|store| of(store.view())).collect();
    all.into_values().collect()
}
