//! What the log amounts to: records, open intents, history. In memory, built by replay, pure.
//!
//! [`State::apply_event`] is the one place that says what an event means. Its cost does not depend on the size of the
//! state, except for `Moved`, which is rare.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use freehold_model::{Attrs, Interval, MemberPath, ProviderIdentity, Record, limits};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::codec;
use crate::event::{Action, Begin, Event, OpId, Outcome, Partial, Seq};

/// How many entries of history are kept in memory and in snapshots; the segments hold all of it.
pub const HISTORY_ENTRIES: usize = 10_000;

/// An operation that began and has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Which operation.
    pub op: OpId,
    /// When it began.
    pub since: Seq,
    /// The time of that.
    pub time: String,
    /// Who began it.
    pub who: String,
    /// Whose object.
    pub member: MemberPath,
    /// What was about to be done.
    pub action: Action,
    /// Resource type.
    pub type_name: String,
    /// Who was about to do it.
    pub provider: ProviderIdentity,
    /// The inputs with which it was done.
    pub inputs: Attrs,
    /// The deposed object that is meant.
    pub deposed: Option<String>,
    /// The operation's name, for [`Action::Run`].
    pub operation: Option<String>,
    /// What became known of the object on the way.
    pub partial: Option<Partial>,
}

impl Intent {
    pub(crate) fn new(op: OpId, since: Seq, time: String, who: String, begin: Begin, partial: Option<Partial>) -> Self {
        let Begin { member, action, type_name, provider, inputs, deposed, operation } = begin;
        Self { op, since, time, who, member, action, type_name, provider, inputs, deposed, operation, partial }
    }

    /// The event that began it.
    pub fn begin(&self) -> Begin {
        Begin {
            member: self.member.clone(),
            action: self.action,
            type_name: self.type_name.clone(),
            provider: self.provider.clone(),
            inputs: self.inputs.clone(),
            deposed: self.deposed.clone(),
            operation: self.operation.clone(),
        }
    }
}

/// One line of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// The event that completed it.
    pub seq: Seq,
    /// The event that began it; the same when it has no beginning of its own.
    pub began: Seq,
    /// When.
    pub time: String,
    /// By whom.
    pub who: String,
    /// Operation; empty when there is none.
    pub op: OpId,
    /// About which member.
    pub member: Option<MemberPath>,
    /// What was done: an action's word, or `forget`, `move`, `import`, `amend`, `run`, `apply-started`, ….
    pub what: String,
    /// Whether it worked.
    pub ok: bool,
    /// More about it: a failure's message, a move's origin, an exit code with output, a summary. `null` when nothing.
    pub detail: Json,
}

/// Where an event stands: the part of a line that is not the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Its position.
    pub seq: Seq,
    /// When it was appended.
    pub time: String,
    /// Who appended it.
    pub who: String,
    /// Operation that it belongs to.
    pub op: OpId,
    /// Fencing token of its writer.
    pub fence: u64,
}

/// The state of a deployment, as of one event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    pub(crate) lineage: String,
    pub(crate) seq: Seq,
    pub(crate) fence: u64,
    pub(crate) records: BTreeMap<MemberPath, Arc<Record>>,
    pub(crate) intents: BTreeMap<OpId, Arc<Intent>>,
    pub(crate) history: VecDeque<Arc<HistoryEntry>>,
    /// Members with secrets that no identity at hand opens.
    pub(crate) locked: BTreeSet<MemberPath>,
}

impl State {
    /// All records, in order of their paths.
    pub fn records(&self) -> impl ExactSizeIterator<Item = (&MemberPath, &Record)> {
        self.records.iter().map(|(member, record)| (member, record.as_ref()))
    }

    /// The record of a member.
    pub fn record(&self, member: &MemberPath) -> Option<&Record> {
        self.records.get(member).map(AsRef::as_ref)
    }

    /// All records, shared.
    pub fn shared_records(&self) -> &BTreeMap<MemberPath, Arc<Record>> {
        &self.records
    }

    /// Records of a member and of all below it.
    pub fn records_within(&self, root: &MemberPath) -> impl Iterator<Item = (&MemberPath, &Record)> {
        // All paths within `root` follow it directly in the order of paths.
        self.records.range(root..).take_while(move |(m, _)| m.is_within(root)).map(|(m, r)| (m, r.as_ref()))
    }

    /// Operations that began and did not end, in the order of their beginning.
    pub fn intents(&self) -> Vec<&Intent> {
        let mut intents: Vec<&Intent> = self.intents.values().map(AsRef::as_ref).collect();
        intents.sort_by_key(|i| i.since);
        intents
    }

    /// The intent of an open operation.
    pub fn intent(&self, op: &str) -> Option<&Intent> {
        self.intents.get(op).map(AsRef::as_ref)
    }

    /// The timeline, oldest first; at most [`HISTORY_ENTRIES`].
    pub fn history(&self) -> impl DoubleEndedIterator<Item = &HistoryEntry> {
        self.history.iter().map(AsRef::as_ref)
    }

    /// Position of the last event; 0 when there is none.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Fencing token of the last writer.
    pub fn fence(&self) -> u64 {
        self.fence
    }

    /// Tells this log from every other; empty before the first write.
    pub fn lineage(&self) -> &str {
        &self.lineage
    }

    /// Members whose records hold secrets that no identity at hand opens. They can be listed, moved and forgotten, not
    /// planned: their inputs would seem to have changed. [`crate::StateError::Locked`] says what to do.
    pub fn locked(&self) -> &BTreeSet<MemberPath> {
        &self.locked
    }

    /// Takes in one event.
    pub fn apply_event(&mut self, stamp: &Stamp, event: &Event) {
        self.seq = stamp.seq;
        self.fence = stamp.fence;
        match event {
            Event::Begin(begin) => self.begin(stamp, begin),
            Event::Partial { partial, .. } => {
                if let Some(intent) = self.intents.get_mut(&stamp.op) {
                    Arc::make_mut(intent).partial = Some((**partial).clone());
                }
            }
            Event::End { member, outcome } => self.end(stamp, member, outcome),
            Event::Forgotten { member } => {
                self.forget(member, None);
                self.note(stamp, Some(member), "forget", true, Json::Null);
            }
            Event::Moved { from, to } => {
                self.rebase(from, to);
                self.note(stamp, Some(to), "move", true, json!(from));
            }
            Event::Imported { member, record } => {
                self.set_record(member, (**record).clone(), Interval { began: stamp.seq, ended: stamp.seq });
                self.note(stamp, Some(member), "import", true, Json::Null);
            }
            Event::Amended { member, record } => {
                let interval = self.records.get(member).map_or(record.interval, |old| old.interval);
                self.record_result(member, record, interval);
                self.note(stamp, Some(member), "amend", true, Json::Null);
            }
            Event::Ran { member, operation, exit_code, output, outputs } => {
                if let Some(outputs) = outputs {
                    self.update(member, |record| record.outputs.clone_from(outputs));
                }
                let output = tail(output, limits::HISTORY_OUTPUT_BYTES);
                let detail = json!({ "operation": operation, "exitCode": exit_code, "output": output });
                self.note(stamp, Some(member), "run", *exit_code == Some(0), detail);
            }
            Event::ApplyStarted { command } => self.note(stamp, None, "apply-started", true, json!(command)),
            Event::ApplyEnded { summary } => self.note(stamp, None, "apply-ended", true, summary.clone()),
            Event::Rewrapped { recipients } => self.note(stamp, None, "rekey", true, json!(recipients)),
            Event::Unlocked { holder } => self.note(stamp, None, "unlock", true, json!(holder)),
        }
    }

    fn begin(&mut self, stamp: &Stamp, begin: &Begin) {
        let intent =
            Intent::new(stamp.op.clone(), stamp.seq, stamp.time.clone(), stamp.who.clone(), begin.clone(), None);
        self.intents.insert(stamp.op.clone(), Arc::new(intent));
    }

    fn end(&mut self, stamp: &Stamp, member: &MemberPath, outcome: &Outcome) {
        let intent = self.intents.remove(&stamp.op);
        let began = intent.as_ref().map_or(stamp.seq, |i| i.since);
        let interval = Interval { began, ended: stamp.seq };
        let (mut ok, mut detail) = (true, Json::Null);
        match outcome {
            Outcome::Recorded(record) => self.record_result(member, record, interval),
            Outcome::Deleted => self.forget(member, intent.as_ref().and_then(|i| i.deposed.as_deref())),
            Outcome::Failed { kind, message, record } => {
                if let Some(record) = record {
                    self.record_result(member, record, interval);
                }
                ok = false;
                detail = json!({ "kind": kind, "message": message });
            }
            // An operation that was run has told how it ended just before.
            Outcome::Unchanged if self.has_told_of_run(&stamp.op) => return,
            Outcome::Unchanged => {
                ok = false;
                detail = json!({ "message": "interrupted, or not begun after all" });
            }
        }
        let what = intent.as_ref().map_or("end", |i| i.action.as_str());
        self.push_history(HistoryEntry {
            seq: stamp.seq,
            began,
            time: stamp.time.clone(),
            who: stamp.who.clone(),
            op: stamp.op.clone(),
            member: Some(member.clone()),
            what: what.to_owned(),
            ok,
            detail,
        });
    }

    fn has_told_of_run(&self, op: &str) -> bool {
        // The result is written together with the end; at most the record's new outputs are between them.
        self.history.iter().rev().take(2).any(|entry| entry.op == op && entry.what == "run")
    }

    /// A deposed object is dropped by its own deletion only, never by a record that does not mention it.
    fn record_result(&mut self, member: &MemberPath, record: &Record, interval: Interval) {
        let mut record = record.clone();
        for old in self.records.get(member).map(|r| r.deposed.as_slice()).unwrap_or_default() {
            if record.deposed.iter().all(|d| d.key != old.key) {
                record.deposed.push(old.clone());
            }
        }
        self.set_record(member, record, interval);
    }

    pub(crate) fn set_record(&mut self, member: &MemberPath, mut record: Record, interval: Interval) {
        record.interval = interval;
        if codec::has_locked(&record) {
            self.locked.insert(member.clone());
        } else {
            self.locked.remove(member);
        }
        self.records.insert(member.clone(), Arc::new(record));
    }

    fn update(&mut self, member: &MemberPath, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.records.get(member) {
            let mut record = Record::clone(record);
            change(&mut record);
            let interval = record.interval;
            self.set_record(member, record, interval);
        }
    }

    fn forget(&mut self, member: &MemberPath, deposed: Option<&str>) {
        match deposed {
            Some(key) => self.update(member, |record| record.deposed.retain(|d| d.key != key)),
            None => {
                self.records.remove(member);
                self.locked.remove(member);
            }
        }
    }

    /// Moves records, intents, and whatever names a moved member.
    fn rebase(&mut self, from: &MemberPath, to: &MemberPath) {
        let moved = |path: &MemberPath| path.rebase(from, to).unwrap_or_else(|| path.clone());
        self.records = std::mem::take(&mut self.records)
            .into_iter()
            .map(|(member, record)| (moved(&member), rebase_record(record, from, &moved)))
            .collect();
        self.locked = self.locked.iter().map(moved).collect();
        for intent in self.intents.values_mut().filter(|i| i.member.is_within(from)) {
            let intent = Arc::make_mut(intent);
            intent.member = moved(&intent.member);
        }
    }

    fn note(&mut self, stamp: &Stamp, member: Option<&MemberPath>, what: &str, ok: bool, detail: Json) {
        self.push_history(HistoryEntry {
            seq: stamp.seq,
            began: stamp.seq,
            time: stamp.time.clone(),
            who: stamp.who.clone(),
            op: stamp.op.clone(),
            member: member.cloned(),
            what: what.to_owned(),
            ok,
            detail,
        });
    }

    fn push_history(&mut self, entry: HistoryEntry) {
        if self.history.len() == HISTORY_ENTRIES {
            self.history.pop_front();
        }
        self.history.push_back(Arc::new(entry));
    }
}

fn rebase_record(record: Arc<Record>, from: &MemberPath, moved: &dyn Fn(&MemberPath) -> MemberPath) -> Arc<Record> {
    let concerned = record.edges.iter().chain(&record.holder).any(|path| path.is_within(from))
        || record.deposed.iter().any(|d| d.record.edges.iter().any(|path| path.is_within(from)));
    if !concerned {
        return record;
    }
    let mut record = Arc::unwrap_or_clone(record);
    record.edges = record.edges.iter().map(moved).collect();
    record.holder = record.holder.as_ref().map(moved);
    for deposed in &mut record.deposed {
        deposed.record.edges = deposed.record.edges.iter().map(moved).collect();
    }
    Arc::new(record)
}

/// The last bytes of a text, at a boundary of characters.
fn tail(text: &str, bytes: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}
