//! The log: written into a buffer, durable later, lost when a crash comes first. Replayed by the real `freehold_state::State`.

use std::collections::BTreeMap;
use std::sync::Arc;

use freehold_apply::{Intent, IntentAction, RecordChange};
use freehold_model::{MemberPath, ProviderIdentity, ProviderRef, Record};
use freehold_plan::OpenIntent;
use freehold_state::{Action as Begun, Begin, Event, Outcome, Stamp, State};

use freehold_testkit::Rng;

#[derive(Debug, Default)]
pub struct Journal {
    pub durable: Vec<(Stamp, Event)>,
    /// Appended and not durable: with what is to be told when it is.
    pub buffer: Vec<(Vec<(Stamp, Event)>, Written)>,
    pub view: State,
    own_ops: std::collections::BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    Intent(u64),
    Result(u64),
}

impl Journal {
    pub fn records(&self) -> BTreeMap<MemberPath, Arc<Record>> {
        self.view.shared_records().clone()
    }

    pub fn next_op(&self) -> u64 {
        self.view.seq() + 1
    }

    /// A new run: what is open now was left by another.
    pub fn open_run(&mut self) {
        self.own_ops.clear();
    }

    /// Everything unsynced is lost but, perhaps, its beginning.
    pub fn crash(&mut self, rng: &mut Rng) {
        let kept = rng.below(self.buffer.len() + 1);
        for (events, _) in self.buffer.drain(..).take(kept) {
            self.durable.extend(events);
        }
        self.view = replay(&self.durable);
    }

    /// Some of what is written becomes durable, oldest first.
    pub fn sync(&mut self, count: usize) -> Vec<Written> {
        let mut told = Vec::new();
        for (events, written) in self.buffer.drain(..count) {
            self.durable.extend(events);
            told.push(written);
        }
        told
    }

    pub fn write_intent(&mut self, op: u64, intent: Intent) {
        self.own_ops.insert(op.to_string());
        let (action, deposed) = match intent.action {
            IntentAction::Create => (Begun::Create, None),
            IntentAction::Update => (Begun::Update, None),
            IntentAction::Delete => (Begun::Delete, None),
            IntentAction::DeleteDeposed(key) => (Begun::Delete, Some(key)),
        };
        let begin = Begin {
            member: intent.member,
            action,
            type_name: intent.type_name,
            provider: identify(&intent.provider),
            inputs: intent.inputs,
            deposed,
            operation: None,
        };
        self.append(vec![(op.to_string(), Event::Begin(Box::new(begin)))], Written::Intent(op));
    }

    pub fn write_result(&mut self, op: u64, member: &MemberPath, change: RecordChange) {
        let id = match &change {
            RecordChange::Found { op, .. } => op.clone(),
            _ => op.to_string(),
        };
        let end = |outcome| (id.clone(), Event::End { member: member.clone(), outcome });
        let settled = |outcome| {
            let mut events = self.close_open_intents(member, &id);
            events.push(end(outcome));
            events
        };
        let events = match change {
            RecordChange::Recorded(record) | RecordChange::Found { record, .. } => {
                settled(Outcome::Recorded(signed(record)))
            }
            RecordChange::Deleted => settled(Outcome::Deleted),
            RecordChange::DeposedDeleted(_) => vec![end(Outcome::Deleted)],
            RecordChange::Failed { failure, record } => {
                let is_told = record.is_some();
                let record = record.map(signed);
                let outcome = Outcome::Failed { kind: failure.kind, message: failure.message, record };
                if is_told { settled(outcome) } else { vec![end(outcome)] }
            }
            RecordChange::NotBegun => vec![end(Outcome::Unchanged)],
            RecordChange::Forgotten => {
                let mut events = self.close_open_intents(member, &id);
                events.push((String::new(), Event::Forgotten { member: member.clone() }));
                events
            }
            RecordChange::Observed(record) => {
                let mut events = self.close_open_intents(member, &id);
                events.push((String::new(), Event::Amended { member: member.clone(), record: signed(record) }));
                events
            }
            RecordChange::Moved(moves) => {
                moves.into_iter().map(|m| (String::new(), Event::Moved { from: m.from, to: m.to })).collect()
            }
        };
        self.append(events, Written::Result(op));
    }

    /// The operator's word on an interrupted create: here is its object, or there is none.
    pub fn resolve(&mut self, op: &str, adopted: Option<Record>) {
        let Some(intent) = self.view.intent(op).cloned() else { return };
        let member = intent.member;
        let mut events = vec![(op.to_owned(), Event::End { member: member.clone(), outcome: Outcome::Unchanged })];
        if let Some(record) = adopted {
            events.push((String::new(), Event::Imported { member, record: Box::new(record) }));
        }
        self.append(events, Written::Result(0));
        let all = self.buffer.len();
        self.sync(all);
    }

    /// As the engine does when it is known what there is: whatever was left open of the member by another run is closed.
    fn close_open_intents(&self, member: &MemberPath, except: &str) -> Vec<(String, Event)> {
        let open = self.view.intents().into_iter().filter(|i| &i.member == member && i.op != except);
        open.filter(|i| !self.own_ops.contains(&i.op))
            .map(|i| (i.op.clone(), Event::End { member: member.clone(), outcome: Outcome::Unchanged }))
            .collect()
    }

    /// Operations that are open get ids that are no numbers, as those that were moved to another log have.
    pub fn rename_open(&mut self) {
        for (stamp, _) in &mut self.durable {
            if self.view.intent(&stamp.op).is_some() {
                stamp.op.push_str(".2");
            }
        }
        self.view = replay(&self.durable);
    }

    fn append(&mut self, events: Vec<(String, Event)>, written: Written) {
        let stamped: Vec<(Stamp, Event)> = events
            .into_iter()
            .map(|(op, event)| {
                let stamp = Stamp { seq: self.view.seq() + 1, time: String::new(), who: String::new(), op, fence: 1 };
                self.view.apply_event(&stamp, &event);
                (stamp, event)
            })
            .collect();
        self.buffer.push((stamped, written));
    }

    pub fn open_intents(&self) -> Vec<(MemberPath, OpenIntent)> {
        let intents = self.view.intents().into_iter().filter(|i| i.deposed.is_none());
        intents
            .map(|i| {
                let action = match i.action {
                    Begun::Create => freehold_plan::Action::Create,
                    Begun::Update | Begun::Run => freehold_plan::Action::Update,
                    Begun::Delete => freehold_plan::Action::Delete,
                };
                let open = OpenIntent {
                    op: i.op.clone(),
                    began: i.since,
                    action,
                    provider: Some(i.provider.clone()),
                    type_name: i.type_name.clone(),
                    inputs: i.inputs.clone(),
                    partial: i.partial.as_ref().map(|p| p.outputs.clone()),
                };
                (i.member.clone(), open)
            })
            .collect()
    }
}

pub fn replay(events: &[(Stamp, Event)]) -> State {
    let mut state = State::default();
    for (stamp, event) in events {
        state.apply_event(stamp, event);
    }
    state
}

fn signed(record: Arc<Record>) -> Box<Record> {
    let mut record = Box::new(Arc::unwrap_or_clone(record));
    record.provider = identify(&record.provider.provider);
    record
}

fn identify(provider: &ProviderRef) -> ProviderIdentity {
    ProviderIdentity { provider: provider.clone(), name: "sim".into(), version: "1".into() }
}
