//! Commands that show records, wherever those are held.

use std::collections::BTreeMap;

use freehold_engine::Engine;
use freehold_model::MemberPath;
use freehold_state::{State, Store};

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

/// The state that has something recorded at or below `member`; the deployment's own when none has.
pub(crate) fn state_with<'a>(engine: &'a Engine, member: &MemberPath) -> &'a State {
    let has = |state: &&State| state.records_within(member).next().is_some();
    engine.stores().map(Store::view).find(has).unwrap_or_else(|| engine.store().view())
}

/// What is made of each state, in the order of the members.
pub(crate) fn by_member<T>(engine: &Engine, of: impl Fn(&State) -> Vec<(MemberPath, T)>) -> Vec<T> {
    let all: BTreeMap<MemberPath, T> = engine.stores().flat_map(|store| of(store.view())).collect();
    all.into_values().collect()
}
