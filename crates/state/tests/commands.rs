//! What the commands of `freehold state` do to a log in a directory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{FakeClock, attrs, begin, created, member, owner, record, recorded};
use freehold_model::{MemberPath, Value};
use freehold_state::commands::{self, PlaceChange};
use freehold_state::{Action, Backend, Clock, FileBackend, Keys, LockGuard, StateError, Store};
use serde_json::json;

fn open(dir: &Path, keys: &Keys) -> Store {
    Store::open(Arc::new(FileBackend::new(dir)), keys.clone(), FakeClock::at(1_000)).unwrap()
}

fn locked(dir: &Path, keys: &Keys) -> (Store, LockGuard) {
    let mut store = open(dir, keys);
    let guard = store.lock(&owner("ada")).unwrap();
    (store, guard)
}

fn with_secret() -> freehold_model::Record {
    let mut record = record(attrs(&[("user", "ada")]));
    record.outputs.insert("password".into(), Value::from("canary").into_sensitive());
    record
}

fn members(store: &Store) -> Vec<String> {
    store.view().records().map(|(m, _)| m.to_string()).collect()
}

#[test]
fn a_move_takes_along_what_is_below_and_what_points_there() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _guard) = locked(dir.path(), &Keys::none());
    store.append_wait(created("1", "site.page")).unwrap();
    store.append_wait(created("2", "site.check")).unwrap();
    store.append_wait(created("3", "sitemap")).unwrap();
    let mut dependent = record(attrs(&[]));
    dependent.edges = [member("site.page")].into();
    dependent.holder = Some(member("site.check"));
    store.append_wait(vec![begin("4", "z", Action::Create), recorded("4", "z", dependent)]).unwrap();
    assert_eq!(commands::move_records(&mut store, &member("site"), &member("web.home")).unwrap(), 2);
    assert_eq!(members(&store), ["sitemap", "web.home.check", "web.home.page", "z"]);
    let z = store.view().record(&member("z")).unwrap();
    assert_eq!(z.edges, [member("web.home.page")].into());
    assert_eq!(z.holder, Some(member("web.home.check")));

    let error = commands::move_records(&mut store, &member("sitemap"), &member("z")).unwrap_err();
    assert_eq!(error.to_string(), "`z` has a record already");
    let error = commands::move_records(&mut store, &member("nothing"), &member("x")).unwrap_err();
    assert_eq!(error.to_string(), "`nothing` has no record in the state");
    store.append_wait(vec![begin("5", "z", Action::Update)]).unwrap();
    assert!(matches!(commands::move_records(&mut store, &member("z"), &member("y")), Err(StateError::Open { .. })));
    assert_eq!(open(dir.path(), &Keys::none()).view(), store.view());
}

#[test]
fn records_move_to_another_log_with_their_secrets_and_a_second_run_changes_nothing() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (here_keys, there_keys) = (Keys::ephemeral(), Keys::ephemeral());
    let (mut from, _a) = locked(here.path(), &here_keys);
    let (mut to, _b) = locked(there.path(), &there_keys);
    from.append_wait(vec![begin("1", "db.main", Action::Create), recorded("1", "db.main", with_secret())]).unwrap();
    from.append_wait(created("2", "web")).unwrap();
    // As if an earlier run had been stopped between the two logs.
    let copy = from.view().record(&member("db.main")).unwrap().clone();
    commands::import_records(&mut to, [(member("db.main"), copy)].into()).unwrap();
    assert_eq!(commands::move_to(&mut from, &mut to, &member("db")).unwrap(), 1);
    assert_eq!((members(&from), members(&to)), (vec!["web".to_owned()], vec!["db.main".to_owned()]));
    assert_eq!(to.view().record(&member("db.main")).unwrap().outputs, with_secret().outputs);
}

#[test]
fn removing_drops_records_and_what_is_open_on_them() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _guard) = locked(dir.path(), &Keys::none());
    store.append_wait(created("1", "a.x")).unwrap();
    store.append_wait(created("2", "b")).unwrap();
    store.append_wait(vec![begin("3", "a.y", Action::Create)]).unwrap();
    assert_eq!(commands::remove(&mut store, &member("a")).unwrap(), 1);
    assert_eq!(members(&store), ["b"]);
    assert!(store.view().intents().is_empty());
    assert!(matches!(commands::remove(&mut store, &member("a")), Err(StateError::NoRecord { .. })));
}

#[test]
fn listing_showing_and_exporting_tell_no_secret_unless_asked() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::ephemeral();
    let (mut store, _guard) = locked(dir.path(), &keys);
    store.append_wait(vec![begin("1", "db", Action::Create), recorded("1", "db", with_secret())]).unwrap();
    let listed = commands::list(store.view(), &MemberPath::root());
    assert_eq!((listed.len(), listed[0].resource.as_str(), listed[0].locked), (1, "local.file", false));
    let shown = commands::show(store.view(), &member("db")).unwrap();
    assert_eq!(shown["outputs"], json!({ "user": "ada", "password": { "$freehold": "sensitive" } }));
    assert!(!commands::export(store.view(), [].into_iter(), false).unwrap().to_string().contains("canary"));
    let revealed = commands::export(store.view(), [].into_iter(), true).unwrap();
    assert_eq!(revealed["records"]["db"]["outputs"]["password"], "canary");
    store.close_writer();
    let stranger = open(dir.path(), &Keys::none());
    assert!(commands::list(stranger.view(), &MemberPath::root())[0].locked);
    assert!(matches!(commands::export(stranger.view(), [].into_iter(), true), Err(StateError::Locked { .. })));
    let shown = commands::show(stranger.view(), &member("db")).unwrap();
    assert_eq!(shown["outputs"]["password"], json!({ "$freehold": "sensitive" }));
}

#[test]
fn history_and_states_of_the_past_reach_behind_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::ephemeral();
    let (mut store, guard) = locked(dir.path(), &keys);
    store.append_wait(created("1", "a")).unwrap();
    store.write_snapshot().unwrap();
    let mut changed = with_secret();
    changed.inputs = attrs(&[("path", "elsewhere")]);
    store.append_wait(vec![begin("2", "a", Action::Update), recorded("2", "a", changed)]).unwrap();
    store.append_wait(created("3", "b")).unwrap();
    drop((store, guard));
    let backend = FileBackend::new(dir.path());
    let history = commands::history(&backend, &keys, Some(&member("a"))).unwrap();
    let lines: Vec<_> = history.iter().map(|e| (e.began, e.seq, e.what.as_str(), e.who.split('@').next())).collect();
    assert_eq!(lines, [(1, 2, "create", Some("ada")), (3, 4, "update", Some("ada"))]);
    assert_eq!(commands::history(&backend, &keys, None).unwrap().len(), 3);

    let (old, new) = (commands::state_at(&backend, &keys, 2).unwrap(), commands::state_at(&backend, &keys, 6).unwrap());
    let changes = commands::diff(&old, &new);
    let heads: Vec<_> = changes.iter().map(|c| (c.member.to_string(), c.change)).collect();
    assert_eq!(heads, [("a".to_owned(), "changed"), ("b".to_owned(), "added")]);
    assert!(changes[0].places.contains(&PlaceChange {
        at: freehold_model::Pointer::new(["inputs", "path"]),
        before: Some(json!("a")),
        after: Some(json!("elsewhere")),
    }));
    assert!(!serde_json::to_string(&changes).unwrap().contains("canary"));
    let error = commands::state_at(&backend, &keys, 99).unwrap_err();
    assert_eq!(error.to_string(), "the log has no event 99 (it reaches from 1 to 6)");
}

#[test]
fn unlocking_says_whose_lock_it_was_and_leaves_a_note() {
    let dir = tempfile::tempdir().unwrap();
    let (_first, _guard) = locked(dir.path(), &Keys::none());
    let mut second = open(dir.path(), &Keys::none());
    let broken = commands::unlock(&mut second, &owner("bob")).unwrap().unwrap();
    assert_eq!(broken.owner.user, "ada");
    let last = second.view().history().next_back().unwrap();
    assert_eq!((last.what.as_str(), last.who.split('@').next()), ("unlock", Some("bob")));
    assert_eq!(commands::unlock(&mut second, &owner("bob")).unwrap(), None);
}

#[test]
fn a_lock_file_that_cannot_be_read_is_held_until_the_operator_says_otherwise() {
    for text in ["", "{\"fence\":", "nonsense"] {
        let dir = tempfile::tempdir().unwrap();
        drop(locked(dir.path(), &Keys::none()));
        std::fs::write(dir.path().join("lock"), text).unwrap();
        let mut store = open(dir.path(), &Keys::none());
        let refused = store.lock(&owner("bob")).map(drop).unwrap_err();
        assert!(refused.to_string().contains("cannot be read"), "{refused}");
        assert!(refused.hint().unwrap().contains("freehold state unlock"), "{refused:?}");
        let before = store.view().fence();
        assert!(commands::unlock(&mut store, &owner("bob")).unwrap().is_some());
        drop(store.lock(&owner("bob")).unwrap());
        assert!(store.view().fence() >= before);
    }
}

#[test]
fn repair_keeps_the_longest_valid_prefix_and_deletes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::ephemeral();
    let (mut store, guard) = locked(dir.path(), &keys);
    for n in 1..=3 {
        store.append_wait(created(&n.to_string(), &format!("m{n}"))).unwrap();
        if n == 2 {
            store.start_segment().unwrap();
        }
    }
    drop((store, guard));
    // Without its snapshot the damage in the first segment matters.
    fs_err::remove_file(dir.path().join("snapshot-000002.json")).unwrap();
    let log = dir.path().join("log-000001.jsonl");
    let whole = fs_err::read(&log).unwrap();
    let mut bytes = whole.clone();
    let third_event = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(2).unwrap().0 + 1;
    bytes[third_event + 20] ^= 4;
    fs_err::write(&log, &bytes).unwrap();

    let backend: Arc<dyn Backend> = Arc::new(FileBackend::new(dir.path()));
    let clock: Arc<dyn Clock> = FakeClock::at(1_000);
    let found = commands::examine(backend.as_ref(), &keys).unwrap();
    assert_eq!(found.kept, 2);
    assert!(found.fault.as_ref().unwrap().contains(&format!("corrupt at byte {third_event} of `log-000001.jsonl`")));
    assert_eq!(commands::repair(&backend, &keys, &clock, &owner("ada")).unwrap(), found);
    assert_eq!(fs_err::read(&log).unwrap(), whole[..third_event]);
    let aside = dir.path().join(format!("log-000001.jsonl.damaged-{third_event}"));
    assert_eq!(fs_err::read(aside).unwrap(), bytes[third_event..]);
    assert!(dir.path().join("log-000002.jsonl.damaged-0").exists());

    let (mut store, _guard) = locked(dir.path(), &keys);
    assert_eq!(members(&store), ["m1"]);
    store.append_wait(created("9", "after")).unwrap();
    assert_eq!(members(&open(dir.path(), &keys)), ["after", "m1"]);
}

#[test]
fn a_second_operator_reads_secrets_after_rekey_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let (ada, bob) = (Keys::ephemeral(), Keys::ephemeral());
    let (mut store, guard) = locked(dir.path(), &ada);
    store.append_wait(vec![begin("1", "db", Action::Create), recorded("1", "db", with_secret())]).unwrap();
    assert!(open(dir.path(), &bob).view().locked().contains(&member("db")));
    let file = dir.path().join("freehold.recipients");
    fs_err::write(&file, format!("{}\n{}\n", ada.recipients()[0], bob.recipients()[0])).unwrap();
    let both = Keys::load(&file, None).unwrap();
    commands::rekey(&mut store, both).unwrap();
    store.append_wait(created("2", "web")).unwrap();
    drop((store, guard));
    for keys in [&ada, &bob] {
        let store = open(dir.path(), keys);
        assert_eq!(store.view().record(&member("db")).unwrap().outputs, with_secret().outputs);
        assert!(store.view().locked().is_empty());
    }
}
