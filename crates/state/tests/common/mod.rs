//! What the tests of this crate share: builders and a clock that stands still until it is told to move.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use freehold_model::{Attrs, MemberPath, ProviderIdentity, ProviderRef, Record, Status, Value};
use freehold_state::{Action, Begin, Clock, Event, NewEvent, Outcome, Owner};

#[derive(Default)]
pub struct FakeClock(pub AtomicU64);

impl FakeClock {
    pub fn at(millis: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(millis)))
    }

    pub fn advance(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn unix_millis(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub fn owner(user: &str) -> Owner {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Owner {
        user: user.into(),
        host,
        pid: 7,
        machine: Owner::current("", &FakeClock::default()).machine,
        command: "freehold apply".into(),
        started: "2026-11-21T12:00:00.000Z".into(),
    }
}

pub fn member(path: &str) -> MemberPath {
    path.parse().unwrap()
}

pub fn provider() -> ProviderIdentity {
    ProviderIdentity {
        provider: ProviderRef::Builtin { name: "local".into(), config: Value::Null },
        name: "local".into(),
        version: "0.1.0".into(),
    }
}

pub fn attrs(pairs: &[(&str, &str)]) -> Attrs {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect()
}

pub fn record(inputs: Attrs) -> Record {
    Record {
        provider: provider(),
        type_name: "file".into(),
        outputs: inputs.clone(),
        inputs,
        private: None,
        edges: [].into(),
        interval: Default::default(),
        status: Status::Ok,
        deposed: vec![],
        protect: false,
        keep: false,
        create_before_destroy: false,
        replace_when: None,
        holder: None,
    }
}

pub fn begin(op: &str, path: &str, action: Action) -> NewEvent {
    let begin = Begin {
        member: member(path),
        action,
        type_name: "file".into(),
        provider: provider(),
        inputs: attrs(&[("path", path)]),
        deposed: None,
        operation: None,
    };
    NewEvent::of(op, Event::Begin(Box::new(begin)))
}

pub fn recorded(op: &str, path: &str, record: Record) -> NewEvent {
    NewEvent::of(op, Event::End { member: member(path), outcome: Outcome::Recorded(Box::new(record)) })
}

pub fn created(op: &str, path: &str) -> Vec<NewEvent> {
    vec![begin(op, path, Action::Create), recorded(op, path, record(attrs(&[("path", path)])))]
}

pub fn deleted(op: &str, path: &str) -> Vec<NewEvent> {
    vec![
        begin(op, path, Action::Delete),
        NewEvent::of(op, Event::End { member: member(path), outcome: Outcome::Deleted }),
    ]
}
