//! State as a resource: a log that a provider keeps as one text.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{FakeClock, created, owner};
use freehold_state::holder::{Appended, HeldLock, HeldText};
use freehold_state::{Backend, Clock, HolderBackend, HolderIo, Keys, Owner, StateError, Store, commands};

#[derive(Clone, Default)]
struct Text(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    text: String,
    locked: Option<String>,
    fence: u64,
    /// Of the last write: all that this holder compares with.
    written_under: u64,
}

impl HolderIo for Text {
    fn place(&self) -> String {
        "the state held by `store`".into()
    }

    fn read(&self) -> Result<HeldText, StateError> {
        let text = self.0.lock().unwrap().text.clone();
        Ok(HeldText { version: text.len().to_string(), text })
    }

    fn append(&self, expected: &str, lines: &[String], fence: u64) -> Result<Appended, StateError> {
        let mut inner = self.0.lock().unwrap();
        if expected != inner.text.len().to_string() || fence < inner.written_under {
            return Ok(Appended::MovedOn);
        }
        inner.written_under = fence;
        inner.text.push_str(&lines.concat());
        Ok(Appended::Done(inner.text.len().to_string()))
    }

    fn lock(&self, owner: &Owner, _lease: Duration, token: Option<&str>) -> Result<HeldLock, StateError> {
        let mut inner = self.0.lock().unwrap();
        if token.is_none() {
            assert_eq!(inner.locked, None, "held");
            inner.fence += 1;
        }
        inner.locked = Some(owner.user.clone());
        Ok(HeldLock { token: owner.user.clone(), fence: inner.fence })
    }

    fn unlock(&self, _token: Option<&str>) -> Result<(), StateError> {
        self.0.lock().unwrap().locked = None;
        Ok(())
    }
}

fn open(text: &Text, keys: &Keys) -> Store {
    let backend = HolderBackend::new(Box::new(text.clone()));
    Store::open(Arc::new(backend), keys.clone(), FakeClock::at(0)).unwrap()
}

#[test]
fn a_held_log_is_read_and_gone_on_with() {
    let (text, keys) = (Text::default(), Keys::ephemeral());
    for n in 1..=3 {
        let mut store = open(&text, &keys);
        let _guard = store.lock(&owner("ada")).unwrap();
        assert_eq!(store.append_wait(created(&n.to_string(), &format!("m{n}"))).unwrap(), n * 2);
        store.start_segment().unwrap();
        store.close_writer();
    }
    assert_eq!(open(&text, &keys).view().records().len(), 3);
    assert_eq!(text.0.lock().unwrap().locked, None);
}

#[test]
fn a_torn_line_is_ended_and_passed_over() {
    let (text, keys) = (Text::default(), Keys::none());
    let mut store = open(&text, &keys);
    let guard = store.lock(&owner("ada")).unwrap();
    store.append_wait(created("1", "a")).unwrap();
    drop((store, guard));
    text.0.lock().unwrap().text.push_str("{\"seq\":3,\"ti");
    for n in 2..=3 {
        let mut store = open(&text, &keys);
        let _guard = store.lock(&owner("ada")).unwrap();
        store.append_wait(created(&n.to_string(), &format!("m{n}"))).unwrap();
        store.close_writer();
    }
    let store = open(&text, &keys);
    assert_eq!((store.view().seq(), store.view().records().len()), (6, 3));
}

#[test]
fn a_held_log_is_repaired_although_nothing_of_it_can_be_cut_off() {
    let (text, keys) = (Text::default(), Keys::ephemeral());
    let mut store = open(&text, &keys);
    let guard = store.lock(&owner("ada")).unwrap();
    for n in 1..=3 {
        store.append_wait(created(&n.to_string(), &format!("m{n}"))).unwrap();
    }
    drop((store, guard));
    let members = |text: &Text| -> Vec<String> {
        open(text, &keys).view().records().map(|(member, _)| member.to_string()).collect()
    };
    let backend = || -> Arc<dyn Backend> { Arc::new(HolderBackend::new(Box::new(text.clone()))) };
    let clock: Arc<dyn Clock> = FakeClock::at(0);
    let damage = |from: &str, to: &str| {
        let mut inner = text.0.lock().unwrap();
        inner.text = inner.text.replacen(from, to, 1);
    };
    let repair = || {
        assert!(Store::open(backend(), keys.clone(), clock.clone()).is_err());
        let repair = commands::repair(&backend(), &keys, &clock, &owner("ada")).unwrap();
        assert_eq!(commands::examine(backend().as_ref(), &keys).unwrap().cut, None);
        repair.kept
    };
    damage("\"seq\":3", "\"seq\":9");
    assert_eq!(repair(), 2);
    assert_eq!(members(&text), ["m1"]);
    // It is gone on with, and damaged again: in what was voided, and before it.
    let mut store = open(&text, &keys);
    let guard = store.lock(&owner("ada")).unwrap();
    store.append_wait(created("9", "m4")).unwrap();
    drop((store, guard));
    assert_eq!(members(&text), ["m1", "m4"]);
    damage("\"seq\":6", "\"seq\":7");
    assert_eq!(members(&text), ["m1", "m4"], "what is voided may be anything");
    damage("\"seq\":2", "\"seq\":8");
    assert_eq!(repair(), 1);
    assert!(members(&text).is_empty());
    damage("{\"format\"", "garbage");
    assert_eq!(repair(), 0);
    assert!(members(&text).is_empty());
}

#[test]
fn what_another_appended_in_between_stops_a_writer() {
    let (text, keys) = (Text::default(), Keys::none());
    let mut store = open(&text, &keys);
    let _guard = store.lock(&owner("ada")).unwrap();
    store.append_wait(created("1", "a")).unwrap();
    text.0.lock().unwrap().text.push('\n');
    let error = store.append_wait(created("2", "b")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the state held by `store` has been written to by another since it was read; nothing of ours was written"
    );
}

#[test]
fn a_writer_whose_lock_was_broken_is_refused_before_the_next_one_has_written_anything() {
    let (text, keys) = (Text::default(), Keys::none());
    let mut first = open(&text, &keys);
    let _first_guard = first.lock(&owner("ada")).unwrap();
    first.append_wait(created("1", "a")).unwrap();
    text.unlock(None).unwrap();
    let mut second = open(&text, &keys);
    let _second_guard = second.lock(&owner("bob")).unwrap();
    assert!(first.append_wait(created("2", "b")).is_err(), "bob has the lock");
    second.append_wait(created("2", "c")).unwrap();
    let store = open(&text, &keys);
    assert_eq!(store.view().records().map(|(m, _)| m.to_string()).collect::<Vec<_>>(), ["a", "c"]);
}
