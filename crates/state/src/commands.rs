//! What the commands of `freehold state` do, without their printing.
//!
//! What is shown is redacted: only [`export`] with `reveal` gives secrets in clear.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freehold_model::{Attrs, MemberPath, Pointer, ProviderRef, Record, Status, Value};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use crate::backend::{Backend, Cut};
use crate::clock::{Clock, rfc3339};
use crate::error::StateError;
use crate::event::{Action, Event, NewEvent, Outcome, Seq};
use crate::keys::Keys;
use crate::line::{self, Header, LOG_FORMAT};
use crate::lock::{LockGuard, LockInfo, LockRequest, Owner};
use crate::replay::{self, Replayed, replay_pieces};
use crate::seal::new_uuid;
use crate::state::{HistoryEntry, Intent, State};
use crate::store::Store;

/// The format of an exported state.
pub const EXPORT_FORMAT: &str = "freehold.export/1";

/// One line of `state list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// Whose record.
    pub member: MemberPath,
    /// Provider's name and resource type: `local.file`.
    pub resource: String,
    /// Whether it can be relied on.
    pub status: Status,
    /// Old objects still to be deleted.
    pub deposed: usize,
    /// Refuses to be deleted.
    pub protect: bool,
    /// Where the record is held, when not here.
    pub holder: Option<MemberPath>,
    /// It has secrets that no identity at hand opens.
    pub locked: bool,
    /// An operation on it began and did not end.
    pub open: bool,
}

/// All records at and below `root`.
pub fn list(state: &State, root: &MemberPath) -> Vec<Listed> {
    let open: BTreeSet<&MemberPath> = state.intents().into_iter().map(|i| &i.member).collect();
    state
        .records_within(root)
        .map(|(member, record)| Listed {
            member: member.clone(),
            resource: format!("{}.{}", record.provider.name, record.type_name),
            status: record.status,
            deposed: record.deposed.len(),
            protect: record.protect,
            holder: record.holder.clone(),
            locked: state.locked().contains(member),
            open: open.contains(member),
        })
        .collect()
}

/// A record as JSON without its secrets.
///
/// # Errors
/// When there is none.
pub fn show(state: &State, member: &MemberPath) -> Result<Json, StateError> {
    let record = state.record(member).ok_or_else(|| StateError::NoRecord { member: member.clone() })?;
    Ok(record_json(record, &redact))
}

/// All records as JSON: `{format, lineage, seq, records: {path: record}}`, those of logs that members hold (`held`) among them.
/// With `reveal`, secrets are in clear.
///
/// # Errors
/// With `reveal`, when a secret cannot be read.
pub fn export<'a>(state: &'a State, held: impl Iterator<Item = &'a State>, reveal: bool) -> Result<Json, StateError> {
    let states: Vec<&State> = [state].into_iter().chain(held).collect();
    if let (true, Some(member)) = (reveal, states.iter().find_map(|state| state.locked().first())) {
        return Err(StateError::Locked { member: member.to_string() });
    }
    let shown = if reveal { &Value::to_clear_json as &dyn Fn(&Value) -> Json } else { &redact };
    let records: Map<String, Json> = states
        .iter()
        .flat_map(|state| state.records())
        .map(|(member, record)| {
            let mut json = record_json(record, shown);
            if let (true, Some(private)) = (reveal, &record.private) {
                json["private"] = private.expose().clone();
            }
            (member.to_string(), json)
        })
        .collect();
    Ok(json!({ "format": EXPORT_FORMAT, "lineage": state.lineage(), "seq": state.seq(), "records": records }))
}

/// Renames records: `from` and all below it become `to`. Returns how many.
///
/// # Errors
/// When there is nothing at `from`, something at `to`, or an operation is open on one of them.
pub fn move_records(store: &mut Store, from: &MemberPath, to: &MemberPath) -> Result<usize, StateError> {
    let moving = store.view().records_within(from).count();
    if moving == 0 {
        return Err(StateError::NoRecord { member: from.clone() });
    }
    check_move(store.view(), from, to)?;
    close_runs(store, from)?;
    store.append_wait(vec![Event::Moved { from: from.clone(), to: to.clone() }.into()])?;
    Ok(moving)
}

/// Whether what is recorded at `from` and below could be renamed.
///
/// # Errors
/// When something else is at `to`, or an operation is open on one of them.
pub fn check_move(state: &State, from: &MemberPath, to: &MemberPath) -> Result<(), StateError> {
    let moves = |member: &MemberPath| member.is_within(from);
    if let Some(intent) = state.intents().into_iter().find(|i| i.action != Action::Run && moves(&i.member)) {
        return Err(StateError::Open { member: intent.member.clone() });
    }
    let targets = state.records_within(from).filter_map(|(member, _)| member.rebase(from, to));
    match targets.into_iter().find(|target| state.record(target).is_some() && !moves(target)) {
        Some(member) => Err(StateError::Occupied { member }),
        None => Ok(()),
    }
}

/// Moves records from one log to another: first they are durable there, then forgotten here. Stopped in between, it
/// can be run again. There they are held by the log itself, whoever held them here. Returns how many.
///
/// # Errors
/// When there is nothing to move, another record stands in the target, an operation is open, or a secret cannot be
/// read.
pub fn move_to(from: &mut Store, to: &mut Store, root: &MemberPath) -> Result<usize, StateError> {
    refuse_open(from, root)?;
    let unheld = |record: &Record| Record { holder: None, ..record.clone() };
    let mut moving: Vec<(MemberPath, Record)> =
        from.view().records_within(root).map(|(m, r)| (m.clone(), unheld(r))).collect();
    if moving.is_empty() {
        return Err(StateError::NoRecord { member: root.clone() });
    }
    // The order in which they came to be is the order in which they arrive, so deletion can still go in reverse.
    moving.sort_by_key(|(_, record)| (record.interval.ended, record.interval.began));
    let mut imports = Vec::new();
    for (member, record) in &moving {
        match to.view().record(member) {
            Some(there) if same_record(there, record) => {}
            Some(_) => return Err(StateError::Occupied { member: member.clone() }),
            None => imports.push(imported(member, record.clone())),
        }
    }
    if !imports.is_empty() {
        to.append_wait(imports)?;
    }
    let forgets = moving.iter().map(|(m, _)| Event::Forgotten { member: m.clone() }.into()).collect();
    from.append_wait(forgets)?;
    Ok(moving.len())
}

/// Moves one member from one log to another: its record, if there is one, and what is open on it. Durable there before it is dropped
/// here; stopped in between, it can be run again.
///
/// # Errors
/// When another record stands in the target, a secret cannot be read, or writing fails.
pub fn move_member(from: &mut Store, to: &mut Store, member: &MemberPath) -> Result<(), StateError> {
    let (mut arriving, mut leaving): (Vec<NewEvent>, Vec<NewEvent>) = (Vec::new(), Vec::new());
    if let Some(record) = from.view().record(member) {
        match to.view().record(member) {
            Some(there) if same_record(there, record) => {}
            Some(_) => return Err(StateError::Occupied { member: member.clone() }),
            None => arriving.push(imported(member, record.clone())),
        }
    }
    for intent in from.view().intents().into_iter().filter(|i| &i.member == member) {
        let end = Event::End { member: member.clone(), outcome: Outcome::Unchanged };
        leaving.push(NewEvent::of(intent.op.clone(), end));
        let begin = intent.begin();
        if to.view().intents().iter().any(|there| there.begin() == begin && there.partial == intent.partial) {
            continue;
        }
        // An id may stand for something else over there.
        let others = (2..).map(|n: u64| format!("{}.{n}", intent.op));
        let mut ids = std::iter::once(intent.op.clone()).chain(others);
        let op = ids.find(|op| to.view().intent(op).is_none()).unwrap_or_default();
        arriving.push(NewEvent::of(op.clone(), Event::Begin(Box::new(begin))));
        if let Some(partial) = intent.partial.clone() {
            arriving.push(NewEvent::of(op, Event::Partial { member: member.clone(), partial: Box::new(partial) }));
        }
    }
    if from.view().record(member).is_some() {
        leaving.push(Event::Forgotten { member: member.clone() }.into());
    }
    if !arriving.is_empty() {
        to.append_wait(arriving)?;
    }
    if !leaving.is_empty() {
        from.append_wait(leaving)?;
    }
    Ok(())
}

/// Drops the records at and below `root`, and what is open on them; the world is not touched. Returns how many.
///
/// # Errors
/// When there is neither record nor open operation.
pub fn remove(store: &mut Store, root: &MemberPath) -> Result<usize, StateError> {
    let state = store.view();
    let mut events: Vec<NewEvent> = Vec::new();
    for intent in state.intents().into_iter().filter(|i| i.member.is_within(root)) {
        let end = Event::End { member: intent.member.clone(), outcome: Outcome::Unchanged };
        events.push(NewEvent::of(intent.op.clone(), end));
    }
    let forgotten: Vec<MemberPath> = state.records_within(root).map(|(m, _)| m.clone()).collect();
    let count = forgotten.len();
    events.extend(forgotten.into_iter().map(|member| Event::Forgotten { member }.into()));
    if events.is_empty() {
        return Err(StateError::NoRecord { member: root.clone() });
    }
    store.append_wait(events)?;
    Ok(count)
}

/// Takes in records from elsewhere, all or none.
///
/// # Errors
/// When one of the members has a record already.
pub fn import_records(store: &mut Store, records: BTreeMap<MemberPath, Record>) -> Result<usize, StateError> {
    if let Some(member) = records.keys().find(|m| store.view().record(m).is_some()) {
        return Err(StateError::Occupied { member: member.clone() });
    }
    let events: Vec<NewEvent> = records.into_iter().map(|(member, record)| imported(&member, record)).collect();
    let count = events.len();
    if count > 0 {
        store.append_wait(events)?;
    }
    Ok(count)
}

/// The whole timeline, from the first segment on; of the members at and below `root`, if given.
///
/// # Errors
/// When the log cannot be read.
pub fn history(backend: &dyn Backend, keys: &Keys, root: Option<&MemberPath>) -> Result<Vec<HistoryEntry>, StateError> {
    let concerns = |member: Option<&MemberPath>| match (root, member) {
        (None, _) => true,
        (Some(root), Some(member)) => member.is_within(root),
        (Some(_), None) => false,
    };
    let mut entries = Vec::new();
    let mut take = |state: &State| {
        if let Some(entry) = state.history().next_back().filter(|e| e.seq == state.seq())
            && concerns(entry.member.as_ref())
        {
            entries.push(entry.clone());
        }
    };
    let loaded = backend.load(Some(1))?;
    // Each call shows the state before an event, so the entry of the event before it.
    let log = replay_pieces(State::default(), 0, &loaded.pieces, keys, &mut |state, _, _| take(state)).intact()?;
    take(&log.state);
    Ok(entries)
}

/// The state as it was after event `seq`.
///
/// # Errors
/// When the log cannot be read or has no such event.
pub fn state_at(backend: &dyn Backend, keys: &Keys, seq: Seq) -> Result<State, StateError> {
    let loaded = backend.load(Some(1))?;
    let mut found = None;
    let log = replay_pieces(State::default(), 0, &loaded.pieces, keys, &mut |state, _, _| {
        if state.seq() == seq {
            found = Some(state.clone());
        }
    })
    .intact()?;
    let last = log.state.seq();
    match found {
        Some(state) => Ok(state),
        None if last == seq => Ok(log.state),
        None => Err(StateError::NoSuchEvent { seq, first: 1, last }),
    }
}

/// What became of a record between two states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordChange {
    /// Whose.
    pub member: MemberPath,
    /// `added`, `removed` or `changed`.
    pub change: &'static str,
    /// The places that differ, with what was and is there; secrets are not shown.
    pub places: Vec<PlaceChange>,
}

/// A place in a record that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaceChange {
    /// Where: `/inputs/contents`.
    pub at: Pointer,
    /// What was there; `None` when nothing.
    pub before: Option<Json>,
    /// What is there.
    pub after: Option<Json>,
}

/// How two states differ, record by record.
pub fn diff(before: &State, after: &State) -> Vec<RecordChange> {
    let members: BTreeSet<&MemberPath> = before.records().chain(after.records()).map(|(m, _)| m).collect();
    members
        .into_iter()
        .filter_map(|member| {
            let (old, new) = (before.record(member), after.record(member));
            let change = match (old, new) {
                (Some(old), Some(new)) if old == new => return None,
                (Some(_), Some(_)) => "changed",
                (None, _) => "added",
                (_, None) => "removed",
            };
            let mut places = Vec::new();
            compare_records(old, new, &mut places);
            (change != "changed" || !places.is_empty()).then(|| RecordChange { member: member.clone(), change, places })
        })
        .collect()
}

/// Breaks the lock of whoever holds it and notes that in the log. Returns who that was.
///
/// # Errors
/// When the lock cannot be broken or the log not be written.
pub fn unlock(store: &mut Store, owner: &Owner) -> Result<Option<LockInfo>, StateError> {
    let Some(broken) = store.backend.break_lock()? else { return Ok(None) };
    let guard = store.lock(owner)?;
    store.append_wait(vec![Event::Unlocked { holder: broken.to_string() }.into()])?;
    store.close_writer();
    drop(guard);
    Ok(Some(broken))
}

/// What a repair did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// What is wrong, in words; `None` when nothing is.
    pub fault: Option<String>,
    /// Last event that is kept.
    pub kept: Seq,
    /// What is moved aside.
    pub cut: Option<Cut>,
}

/// Looks for damage and says what [`repair`] would do.
///
/// # Errors
/// When the log cannot be read, or was written by a later version.
pub fn examine(backend: &dyn Backend, keys: &Keys) -> Result<Repair, StateError> {
    look_for_damage(backend, keys).map(|(repair, _)| repair)
}

fn look_for_damage(backend: &dyn Backend, keys: &Keys) -> Result<(Repair, Replayed), StateError> {
    let mut log = replay::replay(backend, keys)?;
    let kept = log.state.seq();
    let repair = match log.fault.take() {
        Some((error @ StateError::Newer { .. }, _)) => return Err(error),
        Some((error, cut)) => Repair { fault: Some(error.to_string()), kept, cut: Some(cut) },
        None => Repair { fault: None, kept, cut: log.torn.take() },
    };
    Ok((repair, log))
}

/// Restores the longest valid prefix of a damaged log: everything from the damage on is moved aside, nothing deleted. Where a log
/// can only be appended to, a new segment says that it is no part of it.
///
/// # Errors
/// When the lock is held, the log cannot be read or written, or was written by a later version.
pub fn repair(
    backend: &Arc<dyn Backend>,
    keys: &Keys,
    clock: &Arc<dyn Clock>,
    owner: &Owner,
) -> Result<Repair, StateError> {
    let request = LockRequest { owner: owner.clone(), now: clock.unix_millis(), above: 0 };
    let fence = backend.acquire(&request)?;
    let guard = LockGuard::new(backend.clone(), clock.clone(), fence, true)?;
    // What is looked at under the lock is what is cut; a long log may have taken longer than the lease.
    let (repair, log) = look_for_damage(backend.as_ref(), keys)?;
    if let Some(cut) = &repair.cut {
        guard.renew()?;
        if backend.can_cut() {
            backend.cut(fence, cut)?;
        } else {
            let header = voiding(&log, cut.offset, fence, keys, clock.as_ref())?;
            backend.prepare(fence, None)?;
            backend.start_segment(fence, header.segment, &line::whole(&header))?;
        }
    }
    drop(guard);
    Ok(repair)
}

/// The header of a segment that goes on from what is whole, and voids what follows from `offset` on.
fn voiding(log: &Replayed, offset: usize, fence: Seq, keys: &Keys, clock: &dyn Clock) -> Result<Header, StateError> {
    let known = log.state.lineage();
    Ok(Header {
        format: LOG_FORMAT.to_owned(),
        lineage: if known.is_empty() { new_uuid()? } else { known.to_owned() },
        segment: log.segment + 1,
        seq: log.state.seq(),
        created: rfc3339(clock.unix_millis()),
        fence,
        keys: keys.new_data_key()?.1,
        voids: Some(offset),
    })
}

/// Goes over to the recipients of `keys`: a new segment, and everything once more under a new data key (in a snapshot, or where
/// none are kept in the log itself). What was written before stays readable for the old recipients.
///
/// # Errors
/// When the lock is not held, a secret cannot be read with the old keys, or writing fails; where no snapshots are kept, also when an
/// operation was left open.
pub fn rekey(store: &mut Store, keys: Keys) -> Result<(), StateError> {
    if let Some(member) = store.view().locked().first() {
        return Err(StateError::Locked { member: member.to_string() });
    }
    let snapshots = store.backend().keeps_snapshots();
    if !snapshots {
        // Its inputs are in the line that began it and nowhere else.
        refuse_open(store, &MemberPath::root())?;
    }
    let recipients = keys.recipients();
    store.keys = keys;
    store.append_wait(vec![Event::Rewrapped { recipients }.into()])?;
    if snapshots {
        return store.write_snapshot().map(drop);
    }
    store.start_segment()?;
    let again = |(member, record): (&MemberPath, &Record)| {
        Event::Amended { member: member.clone(), record: Box::new(record.clone()) }.into()
    };
    let events: Vec<NewEvent> = store.view().records().map(again).collect();
    if !events.is_empty() {
        store.append_wait(events)?;
    }
    Ok(())
}

/// Closes what a `run` that was killed has left open at and below `root`, so that nothing waits for it: it is about no object, and
/// whoever has the lock is the only one who runs something.
///
/// # Errors
/// When the lock is not held, or the log cannot be written.
pub fn close_runs(store: &mut Store, root: &MemberPath) -> Result<(), StateError> {
    let runs = store.view().intents().into_iter().filter(|i| i.action == Action::Run && i.member.is_within(root));
    let end = |intent: &Intent| {
        let outcome = Outcome::Unchanged;
        NewEvent::of(intent.op.clone(), Event::End { member: intent.member.clone(), outcome })
    };
    let events: Vec<NewEvent> = runs.map(end).collect();
    if !events.is_empty() {
        store.append_wait(events)?;
    }
    Ok(())
}

fn refuse_open(store: &mut Store, root: &MemberPath) -> Result<(), StateError> {
    close_runs(store, root)?;
    match store.view().intents().into_iter().find(|i| i.member.is_within(root)) {
        Some(intent) => Err(StateError::Open { member: intent.member.clone() }),
        None => Ok(()),
    }
}

fn imported(member: &MemberPath, record: Record) -> NewEvent {
    Event::Imported { member: member.clone(), record: Box::new(record) }.into()
}

/// Whether two records say the same, set aside when they came to be.
fn same_record(a: &Record, b: &Record) -> bool {
    Record { interval: b.interval, ..a.clone() } == *b
}

fn redact(value: &Value) -> Json {
    value.to_redacted_json()
}

fn record_json(record: &Record, shown: &dyn Fn(&Value) -> Json) -> Json {
    let attrs = |attrs: &Attrs| attrs.iter().map(|(n, v)| (n.clone(), shown(v))).collect::<Map<_, _>>();
    let provider = match &record.provider.provider {
        ProviderRef::Builtin { name, .. } => json!({ "builtin": name }),
        ProviderRef::Stdio { executable, args, .. } => json!({ "executable": executable, "args": args }),
    };
    json!({
        "type": record.type_name,
        "provider": { "name": record.provider.name, "version": record.provider.version, "program": provider },
        "inputs": attrs(&record.inputs),
        "outputs": attrs(&record.outputs),
        "edges": record.edges,
        "interval": record.interval,
        "status": record.status,
        "deposed": record.deposed.iter().map(|d| json!({ "key": d.key, "record": record_json(&d.record, shown) }))
            .collect::<Vec<_>>(),
        "protect": record.protect,
        "keep": record.keep,
        "createBeforeDestroy": record.create_before_destroy,
        "replaceWhen": record.replace_when.as_ref().map(shown),
        "holder": record.holder,
        "private": record.private.as_ref().map(|_| json!({ "$freehold": "sensitive" })),
    })
}

/// Compares values (so that a changed secret is noticed without being shown), and the rest as JSON.
fn compare_records(old: Option<&Record>, new: Option<&Record>, places: &mut Vec<PlaceChange>) {
    let values = |record: &Record| {
        let mut all = Attrs::new();
        all.insert("inputs".to_owned(), Value::Map(record.inputs.clone()));
        all.insert("outputs".to_owned(), Value::Map(record.outputs.clone()));
        Value::Map(all)
    };
    compare(&Pointer::root(), old.map(values).as_ref(), new.map(values).as_ref(), places);
    if let (Some(old), Some(new)) = (old, new) {
        let (old, new) = (record_json(old, &redact), record_json(new, &redact));
        for name in ["type", "provider", "status", "deposed", "protect", "keep", "replaceWhen", "holder", "edges"] {
            if old[name] != new[name] {
                let at = Pointer::new([name]);
                places.push(PlaceChange { at, before: Some(old[name].clone()), after: Some(new[name].clone()) });
            }
        }
    }
}

fn compare(at: &Pointer, old: Option<&Value>, new: Option<&Value>, places: &mut Vec<PlaceChange>) {
    match (old, new) {
        (old, new) if old == new => {}
        (Some(Value::Map(old)), Some(Value::Map(new))) => {
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                compare(&at.child(name.as_str()), old.get(name), new.get(name), places);
            }
        }
        (Some(Value::Map(old)), None) => {
            old.iter().for_each(|(name, value)| compare(&at.child(name), Some(value), None, places));
        }
        (None, Some(Value::Map(new))) => {
            new.iter().for_each(|(name, value)| compare(&at.child(name), None, Some(value), places));
        }
        (old, new) => {
            places.push(PlaceChange { at: at.clone(), before: old.map(redact), after: new.map(redact) });
        }
    }
}
