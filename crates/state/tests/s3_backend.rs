//! The S3 backend against an in-process server that honours or ignores conditions and loses replies.
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

use common::{FakeClock, attrs, begin, created, owner, record, recorded};
use freehold_model::{Sensitive, Value};
use freehold_s3::{CredentialsSource, Keys as S3Keys, Settings, Style};
use freehold_state::commands;
use freehold_state::{Action, Backend, Clock, Keys, Owner, S3Backend, StateError, Store};
use freehold_testkit::s3::{Fault, S3Server};

const BUCKET: &str = "state";

fn server() -> S3Server {
    let server = S3Server::start();
    server.create_bucket(BUCKET);
    server
}

fn backend(server: &S3Server, single_writer: bool) -> Arc<S3Backend> {
    let mut settings = Settings::new(BUCKET);
    settings.endpoint = Some(server.endpoint());
    settings.region = Some("us-east-1".into());
    settings.style = Style::Path;
    settings.credentials = CredentialsSource::Keys(S3Keys {
        access_key_id: S3Server::ACCESS_KEY.into(),
        secret_access_key: Sensitive::new(S3Server::SECRET_KEY.into()),
        session_token: None,
    });
    Arc::new(S3Backend::new(&settings, "prod/", single_writer).unwrap())
}

fn open(server: &S3Server, keys: &Keys, clock: Arc<dyn Clock>) -> Store {
    Store::open(backend(server, false), keys.clone(), clock).unwrap()
}

/// A holder on another machine: whether its process lives cannot be told from here.
fn elsewhere(user: &str) -> Owner {
    Owner { host: format!("host-of-{user}"), ..owner(user) }
}

#[test]
fn what_was_recorded_is_there_for_the_next_operator_and_secrets_are_not_in_the_bucket() {
    let (server, keys) = (server(), Keys::ephemeral());
    let mut store = open(&server, &keys, FakeClock::at(0));
    let guard = store.lock(&elsewhere("ada")).unwrap();
    store.append_wait(created("1", "a")).unwrap();
    let mut secret = record(attrs(&[]));
    secret.outputs.insert("password".into(), Value::from("canary-11").into_sensitive());
    store.append_wait(vec![begin("2", "db", Action::Create), recorded("2", "db", secret)]).unwrap();
    store.write_snapshot().unwrap();
    store.append_wait(created("3", "c")).unwrap();
    let view = store.snapshot_view();
    drop((store, guard));
    let mut store = open(&server, &keys, FakeClock::at(0));
    assert_eq!(store.view(), &view);
    let _guard = store.lock(&elsewhere("bob")).unwrap();
    assert_eq!(store.append_wait(created("4", "d")).unwrap(), view.seq() + 2);
    assert_eq!(commands::history(backend(&server, false).as_ref(), &keys, None).unwrap().len(), 4);
    for (key, body) in server.objects(BUCKET) {
        assert!(!body.windows(6).any(|w| w == b"canary"), "{key}");
    }
}

#[test]
fn an_end_of_the_log_that_was_deleted_is_missed() {
    let (server, keys) = (server(), Keys::none());
    let mut store = open(&server, &keys, FakeClock::at(0));
    let guard = store.lock(&elsewhere("ada")).unwrap();
    store.append_wait(created("1", "a")).unwrap();
    drop((store, guard));
    let all = ["prod/log/000000000003.jsonl", "prod/log/000000000002.jsonl", "prod/log/000000000001.jsonl"];
    for key in all {
        assert!(server.remove_object(BUCKET, key));
        let error = Store::open(backend(&server, false), keys.clone(), FakeClock::at(0)).err().unwrap();
        assert!(matches!(&error, StateError::Lost { piece } if piece == all[0]), "{error}");
    }
    let clock: Arc<dyn Clock> = FakeClock::at(0);
    let backend: Arc<dyn Backend> = backend(&server, false);
    commands::repair(&backend, &keys, &clock, &elsewhere("ada")).unwrap();
    assert_eq!(open(&server, &keys, clock).view().records().len(), 0);
}

#[test]
fn a_lock_is_held_until_its_lease_runs_out_and_the_old_writer_is_then_refused() {
    let (server, keys, clock) = (server(), Keys::none(), FakeClock::at(0));
    let mut first = open(&server, &keys, clock.clone());
    let _first_guard = first.lock(&elsewhere("ada")).unwrap();
    first.append_wait(created("1", "a")).unwrap();
    let mut second = open(&server, &keys, clock.clone());
    let error = second.lock(&elsewhere("bob")).err().unwrap();
    assert!(matches!(error, StateError::Held { .. }), "{error}");
    clock.advance(60_001);
    let _second_guard = second.lock(&elsewhere("bob")).unwrap();
    // The paused writer wakes up and knows nothing.
    let error = first.append_wait(created("2", "b")).unwrap_err();
    assert!(matches!(error, StateError::MovedOn { .. }), "{error}");
    second.append_wait(created("3", "c")).unwrap();
    let members: Vec<String> = open(&server, &keys, clock).view().records().map(|(m, _)| m.to_string()).collect();
    assert_eq!(members, ["a", "c"]);
}

#[test]
fn a_holder_that_died_on_this_host_does_not_make_others_wait() {
    let (server, keys) = (server(), Keys::none());
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let dead = Owner { pid: child.id(), ..owner("ada") };
    child.wait().unwrap();
    let mut first = open(&server, &keys, FakeClock::at(0));
    let guard = first.lock(&dead).unwrap();
    std::mem::forget(guard);
    open(&server, &keys, FakeClock::at(1)).lock(&owner("bob")).unwrap();
}

#[test]
fn a_holder_that_may_live_in_another_container_keeps_its_lock_until_the_lease_runs_out() {
    let (server, keys, clock) = (server(), Keys::none(), FakeClock::at(0));
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let dead = Owner { pid: child.id(), ..owner("ada") };
    child.wait().unwrap();
    for machine in ["another boot pid:[1]", ""] {
        let mut first = open(&server, &keys, clock.clone());
        std::mem::forget(first.lock(&Owner { machine: machine.into(), ..dead.clone() }).unwrap());
        let error = open(&server, &keys, clock.clone()).lock(&owner("bob")).err().unwrap();
        assert!(matches!(error, StateError::Held { .. }), "{error}");
        clock.advance(60_001);
    }
    open(&server, &keys, clock).lock(&owner("bob")).unwrap();
}

#[test]
fn a_lost_reply_is_not_taken_for_another_writer() {
    let (server, keys) = (server(), Keys::none());
    let mut store = open(&server, &keys, FakeClock::at(0));
    let _guard = store.lock(&elsewhere("ada")).unwrap();
    store.append_wait(created("1", "a")).unwrap();
    server.inject(Fault::LostReply, "PUT", "log/", 1);
    store.append_wait(created("2", "b")).unwrap();
    server.inject(Fault::Unavailable, "PUT", "log/", 1);
    store.append_wait(created("3", "c")).unwrap();
    assert_eq!(open(&server, &keys, FakeClock::at(0)).view().seq(), 6);
}

#[test]
fn a_store_that_ignores_conditions_is_refused_unless_there_is_one_writer_by_word() {
    let server = server();
    server.honour_conditions(false);
    let keys = Keys::none();
    let error = open(&server, &keys, FakeClock::at(0)).lock(&elsewhere("ada")).err().unwrap();
    assert!(matches!(error, StateError::Unconditional { .. }), "{error}");
    assert!(error.hint().unwrap().contains("singleWriter"));
    let mut store = Store::open(backend(&server, true), keys.clone(), FakeClock::at(0)).unwrap();
    let _guard = store.lock(&elsewhere("ada")).unwrap();
    store.append_wait(created("1", "a")).unwrap();
    assert_eq!(open(&server, &keys, FakeClock::at(0)).view().seq(), 2);
}

#[test]
fn a_fork_of_the_log_is_reported_with_its_place_and_can_be_repaired() {
    let (server, keys) = (server(), Keys::none());
    let mut store = open(&server, &keys, FakeClock::at(0));
    let guard = store.lock(&elsewhere("ada")).unwrap();
    for n in 1..=3 {
        store.append_wait(created(&n.to_string(), &format!("m{n}"))).unwrap();
    }
    drop((store, guard));
    // Chunk 4 holds events 3 and 4 (1 is the lock's, 2 the header). As if another writer had overwritten it.
    let logs: Vec<String> = server.objects(BUCKET).into_keys().filter(|k| k.starts_with("prod/log/")).collect();
    let other = server.objects(BUCKET)[&logs[3]].clone();
    let mut forked = other.clone();
    forked.truncate(other.iter().rposition(|b| *b == b'\n').unwrap());
    forked.truncate(forked.iter().rposition(|b| *b == b'\n').unwrap() + 1);
    server.put_object(BUCKET, &logs[3], forked);
    let error = Store::open(backend(&server, false), keys.clone(), FakeClock::at(0)).err().unwrap();
    assert!(matches!(error, StateError::Forked { .. }), "{error}");
    let place: Arc<dyn Backend> = backend(&server, false);
    let clock: Arc<dyn Clock> = FakeClock::at(0);
    let repaired = commands::repair(&place, &keys, &clock, &elsewhere("ada")).unwrap();
    assert_eq!(repaired.kept, 3);
    let mut store = open(&server, &keys, FakeClock::at(0));
    let _guard = store.lock(&elsewhere("ada")).unwrap();
    assert_eq!(store.append_wait(created("9", "after")).unwrap(), 5);
    assert!(server.objects(BUCKET).keys().any(|k| k.starts_with("prod/aside/")));
}

#[test]
fn a_second_repair_of_the_same_part_keeps_what_the_first_one_moved_aside() {
    for single_writer in [false, true] {
        let (server, keys) = (server(), Keys::none());
        server.honour_conditions(!single_writer);
        for round in 1..=3 {
            let mut store = Store::open(backend(&server, single_writer), keys.clone(), FakeClock::at(0)).unwrap();
            let guard = store.lock(&elsewhere("ada")).unwrap();
            store.append_wait(created("1", &format!("round{round}"))).unwrap();
            drop((store, guard));
            // The number of this chunk is used again after the first repair.
            let log = "prod/log/000000000003.jsonl";
            assert!(server.objects(BUCKET).contains_key(log));
            server.put_object(BUCKET, log, format!("damage of round {round}\n"));
            let place: Arc<dyn Backend> = backend(&server, single_writer);
            let clock: Arc<dyn Clock> = FakeClock::at(0);
            let repaired = commands::repair(&place, &keys, &clock, &elsewhere("ada")).unwrap();
            assert!(repaired.cut.is_some());
        }
        let objects = server.objects(BUCKET);
        let mut aside: Vec<String> = objects
            .iter()
            .filter(|(key, _)| key.starts_with("prod/aside/000000000003."))
            .map(|(_, body)| String::from_utf8_lossy(body).into_owned())
            .collect();
        aside.sort();
        assert_eq!(aside, [1, 2, 3].map(|round| format!("damage of round {round}\n")), "{:?}", objects.keys());
    }
}

#[test]
fn who_has_lost_the_lock_neither_cuts_nor_keeps_a_snapshot() {
    let (server, keys) = (server(), Keys::none());
    let mut store = open(&server, &keys, FakeClock::at(0));
    let guard = store.lock(&elsewhere("ada")).unwrap();
    store.append_wait(created("1", "a")).unwrap();
    let before = server.objects(BUCKET);
    let (fence, other) = (guard.fence(), backend(&server, false));
    other.load(None).unwrap();
    other.break_lock().unwrap();
    let log = before.keys().rfind(|k| k.starts_with("prod/log/")).unwrap().clone();
    let cut = freehold_state::Cut { piece: log, offset: 0, later: Vec::new(), why: "damaged" };
    assert!(matches!(other.cut(fence, &cut), Err(StateError::Fenced { .. })));
    assert!(matches!(other.write_snapshot(fence, 1, b"{}"), Err(StateError::Fenced { .. })));
    let lock = |objects: &std::collections::BTreeMap<String, Vec<u8>>| {
        let mut objects = objects.clone();
        objects.remove("prod/lock.json");
        objects
    };
    assert_eq!(lock(&server.objects(BUCKET)), lock(&before));
}

#[test]
fn a_store_that_cannot_be_reached_is_named() {
    let server = server();
    let unreachable = backend(&server, false);
    drop(server);
    let error = Store::open(unreachable, Keys::none(), FakeClock::at(0)).err().unwrap();
    assert!(matches!(error, StateError::Remote { kind: freehold_model::ErrorKind::Transient, .. }), "{error}");
}
