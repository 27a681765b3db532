//! Crashes at every write and sync of a simulated disk, torn, reordered and lost writes included: what was acknowledged
//! is there afterwards, what was not corrupts nothing, and no secret is on the disk in clear.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

mod common;

use std::sync::Arc;

use common::{FakeClock, attrs, begin, created, deleted, member, owner, record, recorded};
use freehold_model::Value;
use freehold_state::simulate::SimDisk;
use freehold_state::{Action, FileBackend, Keys, NewEvent, Stamp, State, StateError, Store};
use proptest::prelude::*;

const CANARY: &str = "canary-5d21";

/// What a run does: batches of events, each followed by what is said.
fn script() -> Vec<(Vec<NewEvent>, After)> {
    let mut secret = record(attrs(&[("user", "ada")]));
    secret.outputs.insert("password".into(), Value::from(CANARY).into_sensitive());
    let big = record(attrs(&[("contents", "x".repeat(3000).as_str())]));
    vec![
        (created("1", "a"), After::GoOn),
        (vec![begin("2", "db", Action::Create)], After::GoOn),
        (vec![recorded("2", "db", secret)], After::Segment),
        (created("3", "c"), After::Reopen),
        ([created("4", "d"), created("5", "e"), created("6", "f")].concat(), After::GoOn),
        (vec![begin("7", "g", Action::Create), recorded("7", "g", big)], After::Segment),
        (deleted("8", "a"), After::Reopen),
        (created("9", "h"), After::GoOn),
    ]
}

#[derive(Clone, Copy, PartialEq)]
enum After {
    GoOn,
    Segment,
    Reopen,
}

fn open(disk: &SimDisk, keys: &Keys) -> Result<Store, StateError> {
    Store::open_inline(Arc::new(FileBackend::on(disk.clone())), keys.clone(), FakeClock::at(1_000))
}

/// Runs the script as far as it gets; says how much was acknowledged and how much was attempted.
fn run(disk: &SimDisk, keys: &Keys) -> (u64, u64) {
    let (mut acknowledged, mut attempted) = (0, 0);
    let mut work = || -> Result<(), StateError> {
        let mut store = open(disk, keys)?;
        let mut guard = store.lock(&owner("ada"))?;
        for (batch, after) in script() {
            attempted += batch.len() as u64;
            acknowledged = store.append_wait(batch)?;
            match after {
                After::GoOn => {}
                After::Segment => store.start_segment()?,
                After::Reopen => {
                    store.close_writer();
                    drop(guard);
                    store = open(disk, keys)?;
                    guard = store.lock(&owner("ada"))?;
                }
            }
        }
        Ok(())
    };
    if let Err(error) = work() {
        assert!(disk.has_crashed(), "failed without a crash: {error}");
    }
    (acknowledged, attempted)
}

/// What the first `seq` events of the script amount to.
fn expected(seq: u64) -> State {
    let mut state = State::default();
    for (index, new) in script().into_iter().flat_map(|(batch, _)| batch).take(seq as usize).enumerate() {
        let stamp = Stamp { seq: index as u64 + 1, time: String::new(), who: String::new(), op: new.op, fence: 1 };
        state.apply_event(&stamp, &new.event);
    }
    state
}

/// Opens what a crash left and checks it against what was promised.
fn check(disk: &SimDisk, keys: &Keys, (acknowledged, attempted): (u64, u64), context: &str) {
    let store = open(disk, keys).unwrap_or_else(|e| panic!("{context}: does not open: {e}"));
    let seq = store.view().seq();
    assert!(seq >= acknowledged, "{context}: {acknowledged} were acknowledged, {seq} are there");
    assert!(seq <= attempted, "{context}: {seq} are there, {attempted} were attempted");
    let expected = expected(seq);
    assert!(store.view().records().eq(expected.records()), "{context}: records differ at {seq}");
    let ops = |state: &State| state.intents().iter().map(|i| (i.op.clone(), i.since)).collect::<Vec<_>>();
    assert_eq!(ops(store.view()), ops(&expected), "{context}: intents differ at {seq}");
    let bytes = disk.all_bytes();
    assert!(!bytes.windows(CANARY.len()).any(|w| w == CANARY.as_bytes()), "{context}: a secret is on the disk");
}

/// Goes on after a crash: the lock can be had, events can be added, and are there.
fn go_on(disk: &SimDisk, keys: &Keys) -> Result<u64, StateError> {
    let mut store = open(disk, keys)?;
    let _guard = store.lock(&owner("ada"))?;
    let last = store.append_wait(created("after", "after"))?;
    Ok(last)
}

#[test]
fn a_power_loss_at_any_operation_loses_nothing_that_was_acknowledged() {
    let keys = Keys::ephemeral();
    let whole = SimDisk::new(0);
    let (all, _) = run(&whole, &keys);
    assert_eq!(all, expected(u64::MAX).seq());
    let operations = whole.operations();
    assert!(operations > 50, "{operations}");
    for crash in 0..operations {
        for seed in 0..6 {
            let context = format!("crash at {crash}, seed {seed}");
            let disk = SimDisk::new(seed * 7919 + crash);
            disk.crash_after(crash);
            let promised = run(&disk, &keys);
            disk.restart_after_power_loss();
            check(&disk, &keys, promised, &context);
            go_on(&disk, &keys).unwrap_or_else(|e| panic!("{context}: cannot go on: {e}"));
            assert!(open(&disk, &keys).unwrap().view().record(&member("after")).is_some(), "{context}");
        }
    }
}

#[test]
fn a_kill_and_a_power_loss_while_recovering_lose_nothing_either() {
    let keys = Keys::ephemeral();
    let whole = SimDisk::new(0);
    run(&whole, &keys);
    for crash in (0..whole.operations()).step_by(3) {
        for second in 0..14 {
            let context = format!("killed at {crash}, power lost at {second} of the recovery");
            let disk = SimDisk::new(crash * 31 + second);
            disk.crash_after(crash);
            let promised = run(&disk, &keys);
            if second % 2 == 0 {
                disk.restart_after_kill()
            } else {
                disk.restart_after_power_loss()
            };
            let before = open(&disk, &keys).unwrap().view().seq();
            assert!(before >= promised.0, "{context}");
            disk.crash_after(second);
            let after = go_on(&disk, &keys);
            disk.restart_after_power_loss();
            let store = open(&disk, &keys).unwrap_or_else(|e| panic!("{context}: does not open: {e}"));
            match after {
                Ok(last) => assert_eq!(store.view().seq(), last, "{context}"),
                Err(_) => assert!(store.view().seq() >= promised.0, "{context}"),
            }
            drop(store);
            go_on(&disk, &keys).unwrap_or_else(|e| panic!("{context}: cannot go on: {e}"));
        }
    }
}

/// A writer that is killed between writing and syncing leaves lines that can be read and are not durable.
#[test]
fn lines_that_a_killed_writer_had_not_synced_are_durable_before_a_new_segment_builds_on_them() {
    let keys = Keys::ephemeral();
    let whole = SimDisk::new(0);
    run(&whole, &keys);
    for crash in 0..whole.operations() {
        for seed in 0..4 {
            let context = format!("killed at {crash}, seed {seed}");
            let disk = SimDisk::new(seed * 104_729 + crash);
            disk.crash_after(crash);
            run(&disk, &keys);
            disk.restart_after_kill();
            let mut store = open(&disk, &keys).unwrap();
            let _guard = store.lock(&owner("ada")).unwrap();
            store.start_segment().unwrap();
            let last = store.append_wait(created("after", "after")).unwrap();
            disk.restart_after_power_loss();
            let store = open(&disk, &keys).unwrap_or_else(|e| panic!("{context}: does not open: {e}"));
            assert_eq!(store.view().seq(), last, "{context}");
        }
    }
}

#[test]
fn a_full_disk_is_named_and_costs_nothing_that_was_durable() {
    let keys = Keys::none();
    for room in [0, 1, 200, 400] {
        let disk = SimDisk::new(1);
        let mut store = open(&disk, &keys).unwrap();
        let guard = store.lock(&owner("ada")).unwrap();
        store.append_wait(created("1", "a")).unwrap();
        disk.set_capacity(Some(disk.used() + room));
        let error = store.append_wait(created("2", "b")).unwrap_err();
        assert!(matches!(error, StateError::DiskFull { .. }), "{error}");
        assert!(error.hint().unwrap().contains("free some space"));
        disk.set_capacity(None);
        drop((store, guard));
        let mut store = open(&disk, &keys).unwrap();
        assert_eq!((store.view().seq(), store.warnings()), (2, vec![]), "nothing torn is left");
        let _guard = store.lock(&owner("ada")).unwrap();
        assert_eq!(store.append_wait(created("3", "c")).unwrap(), 4);
    }
}

#[test]
fn every_prefix_of_a_log_replays() {
    let keys = Keys::none();
    let disk = SimDisk::new(3);
    let mut store = open(&disk, &keys).unwrap();
    let _guard = store.lock(&owner("ada")).unwrap();
    for n in 0..4 {
        store.append_wait(created(&n.to_string(), &format!("m{n}"))).unwrap();
    }
    let log = freehold_state::disk::Disk::read(&disk, "log-000001.jsonl").unwrap().unwrap();
    let mut last = 0;
    for end in 0..=log.len() {
        let seq = freehold_state::parse_log(&log[..end]).unwrap_or_else(|e| panic!("prefix of {end} bytes: {e}")).seq();
        assert!(seq >= last);
        last = seq;
    }
    assert_eq!(last, 8);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = freehold_state::parse_log(&bytes);
    }

    #[test]
    fn no_damage_makes_the_reader_panic_or_lose_events_silently(at in 0_usize..4000, value in any::<u8>(), cut in 0_usize..4000) {
        let disk = SimDisk::new(3);
        let mut store = open(&disk, &Keys::none()).unwrap();
        let guard = store.lock(&owner("ada")).unwrap();
        for n in 0..3 {
            store.append_wait(created(&n.to_string(), &format!("m{n}"))).unwrap();
        }
        drop((store, guard));
        let log = freehold_state::disk::Disk::read(&disk, "log-000001.jsonl").unwrap().unwrap();
        let mut damaged = log.clone();
        let at = at % log.len();
        damaged[at] = value;
        let _ = freehold_state::parse_log(&damaged[..log.len().min(cut.max(1))]);
        // Damage before the last group is never taken for a torn tail.
        let last_group = log.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(4).unwrap().0 + 1;
        if at < last_group && damaged != log {
            prop_assert!(freehold_state::parse_log(&damaged).is_err());
        }
    }
}
