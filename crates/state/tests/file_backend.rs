//! The file backend on a real directory: what is written comes back, and what is wrong is told.
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
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use common::{FakeClock, attrs, begin, created, deleted, member, owner, record, recorded};
use freehold_model::{Interval, Value};
use freehold_state::backend::Cut;
use freehold_state::disk::{Disk as _, RealDisk};
use freehold_state::lock::LockRequest;
use freehold_state::{
    Action, Backend as _, Event, FileBackend, Keys, NewEvent, Outcome, StateError, Store, SystemClock,
};

fn open(dir: &Path, keys: &Keys) -> Store {
    Store::open(Arc::new(FileBackend::new(dir)), keys.clone(), FakeClock::at(1_000)).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs_err::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn reading_a_deployment_without_state_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("freehold.state"), &Keys::none());
    assert_eq!(store.view().records().len(), 0);
    assert!(names(dir.path()).is_empty());
}

#[test]
fn what_was_recorded_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::ephemeral();
    let mut store = open(dir.path(), &keys);
    let guard = store.lock(&owner("ada")).unwrap();
    store.append_wait(created("1", "site.page")).unwrap();
    let last = store.append_wait(vec![begin("2", "other", Action::Create)]).unwrap();
    assert_eq!(last, 3);
    let before = store.snapshot_view();
    drop((store, guard));

    let store = open(dir.path(), &keys);
    assert_eq!(store.view(), &before);
    let page = store.view().record(&member("site.page")).unwrap();
    assert_eq!(page.inputs, attrs(&[("path", "site.page")]));
    assert_eq!(page.interval, Interval { began: 1, ended: 2 });
    let intents = store.view().intents();
    assert_eq!((intents.len(), intents[0].op.as_str(), intents[0].since), (1, "2", 3));
}

#[test]
fn nothing_is_written_without_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), &Keys::none());
    assert!(matches!(store.append_wait(created("1", "a")), Err(StateError::NotLocked)));
    drop(store.lock(&owner("ada")).unwrap());
    assert!(matches!(store.append_wait(created("1", "a")), Err(StateError::NotLocked)));
}

#[test]
fn a_group_of_appends_shares_its_sync_and_every_callback_is_told_its_own_number() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), &Keys::none());
    let guard = store.lock(&owner("ada")).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    for n in 0..500 {
        let told = told.clone();
        store.append(
            created(&format!("{n}"), &format!("m{n}")),
            Box::new(move |result| told.lock().unwrap().push(result.unwrap())),
        );
    }
    store.close_writer();
    drop(guard);
    assert_eq!(*told.lock().unwrap(), (1..=500).map(|n| n * 2).collect::<Vec<u64>>());
    assert_eq!(open(dir.path(), &Keys::none()).view().records().len(), 500);
}

#[test]
fn half_a_line_of_a_live_writer_is_no_crash_for_whoever_only_reads() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path(), &Keys::none());
    let guard = writer.lock(&owner("ada")).unwrap();
    writer.append_wait(created("1", "a")).unwrap();
    let log = dir.path().join("log-000001.jsonl");
    let mut half = fs_err::OpenOptions::new().append(true).open(log).unwrap();
    std::io::Write::write_all(&mut half, b"{\"seq\":").unwrap();
    assert_eq!(open(dir.path(), &Keys::none()).warnings(), [""; 0]);
    drop((writer, guard));
    let warnings = open(dir.path(), &Keys::none()).warnings();
    assert!(warnings.len() == 1 && warnings[0].starts_with("a crash left"), "{warnings:?}");
}

#[test]
fn a_second_writer_is_told_who_holds_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = open(dir.path(), &Keys::none());
    let _guard = first.lock(&owner("ada")).unwrap();
    let mut second = open(dir.path(), &Keys::none());
    let error = second.lock(&owner("bob")).err().unwrap();
    let host = owner("ada").host;
    assert_eq!(
        error.to_string(),
        format!(
            "the state is locked by `ada` on `{host}` (pid 7, `freehold apply`, since 2026-11-21T12:00:00.000Z), \
             lease until 1970-01-01T00:01:01.000Z"
        )
    );
    assert!(error.hint().unwrap().contains("freehold state unlock"));
}

#[test]
fn a_writer_whose_lock_was_broken_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = open(dir.path(), &Keys::none());
    let _first_guard = first.lock(&owner("ada")).unwrap();
    first.append_wait(created("1", "a")).unwrap();
    let mut second = open(dir.path(), &Keys::none());
    let broken = freehold_state::Backend::break_lock(&FileBackend::new(dir.path())).unwrap().unwrap();
    assert_eq!(broken.owner.user, "ada");
    let guard = second.lock(&owner("bob")).unwrap();
    second.append_wait(created("2", "b")).unwrap();
    let error = first.append_wait(created("3", "c")).unwrap_err();
    assert!(matches!(error, StateError::Fenced { ours: 1, now: 3 }), "{error}");
    // Once refused, it stays refused.
    assert!(matches!(first.append_wait(created("4", "d")), Err(StateError::Stopped { .. })));
    drop((second, guard));
    let store = open(dir.path(), &Keys::none());
    let members: Vec<String> = store.view().records().map(|(m, _)| m.to_string()).collect();
    assert_eq!(members, ["a", "b"]);
}

#[test]
fn secrets_are_not_in_the_files_and_come_back_with_the_identity() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::ephemeral();
    let mut store = open(dir.path(), &keys);
    let guard = store.lock(&owner("ada")).unwrap();
    let mut secret = record(attrs(&[("user", "ada")]));
    secret.outputs.insert("password".into(), Value::from("canary-7f3a").into_sensitive());
    secret.private = Some(freehold_model::Sensitive::new(serde_json::json!({ "token": "canary-7f3a" })));
    store.append_wait(vec![begin("1", "db", Action::Create), recorded("1", "db", secret.clone())]).unwrap();
    store.start_segment().unwrap();
    drop((store, guard));
    for name in names(dir.path()) {
        let bytes = fs_err::read(dir.path().join(&name)).unwrap();
        assert!(!bytes.windows(6).any(|w| w == b"canary"), "{name}");
    }
    assert!(names(dir.path()).contains(&"snapshot-000002.json".to_owned()));

    let with = open(dir.path(), &keys);
    assert_eq!(with.view().record(&member("db")).unwrap().outputs, secret.outputs);
    let without = open(dir.path(), &Keys::none());
    assert!(without.view().locked().contains(&member("db")));
    assert_eq!(without.view().record(&member("db")).unwrap().inputs, attrs(&[("user", "ada")]));
}

#[test]
fn a_torn_tail_is_cut_and_kept_aside() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), &Keys::none());
    let guard = store.lock(&owner("ada")).unwrap();
    store.append_wait(created("1", "a")).unwrap();
    drop((store, guard));
    let log = dir.path().join("log-000001.jsonl");
    let whole = fs_err::read(&log).unwrap();
    fs_err::write(&log, [&whole[..], b"{\"seq\":3,\"time\":\"2026"].concat()).unwrap();

    let mut store = open(dir.path(), &Keys::none());
    assert_eq!(store.view().seq(), 2);
    assert_eq!(store.warnings().len(), 1);
    let guard = store.lock(&owner("ada")).unwrap();
    store.append_wait(created("2", "b")).unwrap();
    drop((store, guard));
    assert_eq!(open(dir.path(), &Keys::none()).view().seq(), 4);
    let aside = dir.path().join(format!("log-000001.jsonl.torn-{}", whole.len()));
    assert_eq!(fs_err::read(aside).unwrap(), b"{\"seq\":3,\"time\":\"2026");
}

#[test]
fn a_log_that_begins_with_something_else_is_damaged_and_not_empty() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log-000001.jsonl");
    for (bytes, is_damaged) in [("garbage\n", true), ("{}\n", true), ("{\"format\":\"freeho", false), ("", false)] {
        fs_err::write(&log, bytes).unwrap();
        let read = freehold_state::parse_log(bytes.as_bytes());
        assert_eq!(read.is_err(), is_damaged, "{bytes}");
        let opened = Store::open(Arc::new(FileBackend::new(dir.path())), Keys::none(), Arc::new(SystemClock));
        assert_eq!(opened.is_err(), is_damaged, "{bytes}");
    }
}

#[test]
fn damage_to_what_was_durable_is_reported_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), &Keys::none());
    let guard = store.lock(&owner("ada")).unwrap();
    for n in 1..=3 {
        store.append_wait(created(&format!("{n}"), &format!("m{n}"))).unwrap();
    }
    drop((store, guard));
    let log = dir.path().join("log-000001.jsonl");
    let mut bytes = fs_err::read(&log).unwrap();
    let at = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(2).unwrap().0 + 1;
    bytes[at + 30] ^= 1;
    fs_err::write(&log, bytes).unwrap();
    let error = Store::open(Arc::new(FileBackend::new(dir.path())), Keys::none(), FakeClock::at(0)).err().unwrap();
    assert_eq!(
        error.to_string(),
        format!("the state log is corrupt at byte {at} of `log-000001.jsonl`: the line does not match its CRC")
    );
    assert!(error.hint().unwrap().contains("freehold state repair"));
}

#[test]
fn a_log_of_a_later_version_is_refused_as_such() {
    let dir = tempfile::tempdir().unwrap();
    fs_err::write(dir.path().join("log-000001.jsonl"), "{\"format\":\"freehold.state/2\",\"x\":1}\n").unwrap();
    let error = Store::open(Arc::new(FileBackend::new(dir.path())), Keys::none(), FakeClock::at(0)).err().unwrap();
    assert_eq!(
        error.to_string(),
        "`log-000001.jsonl` has the format `freehold.state/2`, which this version of freehold does not know"
    );
}

#[test]
fn a_snapshot_stands_for_what_is_before_it_and_a_damaged_one_is_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::ephemeral();
    let mut store = open(dir.path(), &keys);
    let guard = store.lock(&owner("ada")).unwrap();
    store.append_wait(created("1", "a")).unwrap();
    store.append_wait(vec![begin("2", "b", Action::Create)]).unwrap();
    store.start_segment().unwrap();
    store.append_wait(deleted("3", "a")).unwrap();
    let view = store.snapshot_view();
    drop((store, guard));
    let first = dir.path().join("log-000001.jsonl");
    fs_err::rename(&first, dir.path().join("away")).unwrap();
    assert_eq!(open(dir.path(), &keys).view(), &view, "the first segment is not needed");
    fs_err::rename(dir.path().join("away"), &first).unwrap();
    fs_err::write(dir.path().join("snapshot-000002.json"), "{}").unwrap();
    let store = open(dir.path(), &keys);
    assert_eq!(store.view(), &view, "the snapshot is not needed");
    assert_eq!(store.warnings().len(), 1);
}

#[test]
fn a_failed_operation_leaves_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), &Keys::none());
    let _guard = store.lock(&owner("ada")).unwrap();
    store.append_wait(created("1", "a")).unwrap();
    let outcome = Outcome::Failed { kind: freehold_model::ErrorKind::Transient, message: "lost".into(), record: None };
    store
        .append_wait(vec![
            begin("2", "a", Action::Update),
            NewEvent::of("2", Event::End { member: member("a"), outcome }),
        ])
        .unwrap();
    assert!(store.view().record(&member("a")).is_some());
    assert!(store.view().intents().is_empty());
    let last = store.view().history().next_back().unwrap();
    assert_eq!((last.what.as_str(), last.ok), ("update", false));
}

/// Runs in a process of its own, started by the test after it: takes the lock and appends until it is killed.
#[test]
fn child_that_appends_until_it_is_killed() {
    let Some(dir) = std::env::var_os("FREEHOLD_STATE_TEST_CHILD") else { return };
    use std::io::Write as _;
    let mut store = open(Path::new(&dir), &Keys::none());
    let _guard = store.lock(&owner("ada")).unwrap();
    for n in 0_u64.. {
        let seq = store.append_wait(created(&n.to_string(), &format!("m{n}"))).unwrap();
        // Not through the test harness, which would hold it back.
        writeln!(std::io::stderr(), "durable {seq}").unwrap();
    }
}

#[test]
fn a_kill_frees_the_lock_at_once_and_loses_nothing_acknowledged() {
    use std::io::{BufRead as _, BufReader};
    let dir = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_appends_until_it_is_killed", "--nocapture"])
        .env("FREEHOLD_STATE_TEST_CHILD", dir.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut durable: Vec<u64> = Vec::new();
    while durable.len() < 20 {
        let line = said.next().expect("the child ended early");
        durable.extend(line.strip_prefix("durable ").map(|n| n.parse::<u64>().unwrap()));
    }
    let mut store = open(dir.path(), &Keys::none());
    assert!(matches!(store.lock(&owner("bob")), Err(StateError::Held { .. })));
    child.kill().unwrap();
    child.wait().unwrap();
    durable.extend(said.filter_map(|line| line.strip_prefix("durable ")?.parse::<u64>().ok()));
    let _guard = store.lock(&owner("bob")).unwrap();
    let last = *durable.last().unwrap();
    assert!(store.view().seq() >= last, "{} of {last}", store.view().seq());
    store.append_wait(created("after", "after")).unwrap();
}

#[test]
fn a_full_file_system_is_named_and_the_log_stays_valid() {
    let Some(disk) = freehold_testkit::SmallDisk::mount(256 * 1024) else { return };
    let dir = disk.path().join("freehold.state");
    let mut store = open(&dir, &Keys::none());
    let guard = store.lock(&owner("ada")).unwrap();
    store.append_wait(created("1", "a")).unwrap();
    disk.fill(0);
    let error = loop {
        let n = store.view().seq().to_string();
        if let Err(error) = store.append_wait(created(&n, &format!("m{n}"))) {
            break error;
        }
    };
    let log = dir.join("log-000001.jsonl");
    assert_eq!(
        error.to_string(),
        format!("the disk that holds `{}` is full; what was durable before is intact", log.display())
    );
    let bytes = fs_err::read(&log).unwrap();
    assert_eq!(bytes.last(), Some(&b'\n'), "no half line is left");
    drop((store, guard));
    disk.free();
    let mut store = open(&dir, &Keys::none());
    assert!(store.view().record(&member("a")).is_some());
    let _guard = store.lock(&owner("ada")).unwrap();
    store.append_wait(created("2", "b")).unwrap();
}

fn acquire(backend: &FileBackend, user: &str) -> Result<u64, StateError> {
    backend.acquire(&LockRequest { owner: owner(user), now: 1_000, above: 0 })
}

#[test]
fn a_lock_taken_while_another_is_late_to_let_go_is_not_taken_for_that_of_a_dead_process() {
    let dir = tempfile::tempdir().unwrap();
    // Gave the lock back (or lost it), and the kernel's is not free yet.
    let late = RealDisk::new(dir.path()).lock("lock.held").unwrap().unwrap();
    let (first, second) = (FileBackend::new(dir.path()), FileBackend::new(dir.path()));
    let fence = acquire(&first, "ada").unwrap();
    drop(late);
    assert!(matches!(acquire(&second, "bob"), Err(StateError::Held { .. })), "ada is alive");
    first.renew(fence, 2_000).unwrap();
    first.release(fence).unwrap();
    assert_eq!(acquire(&second, "bob").unwrap(), fence + 1);
}

#[test]
fn giving_back_a_lock_that_was_broken_does_not_free_the_next_one_of_the_same_process() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, other) = (FileBackend::new(dir.path()), FileBackend::new(dir.path()));
    let broken = acquire(&backend, "ada").unwrap();
    backend.break_lock().unwrap();
    let fence = acquire(&backend, "ada").unwrap();
    backend.release(broken).unwrap();
    assert!(matches!(acquire(&other, "bob"), Err(StateError::Held { .. })), "ada holds {fence}");
}

#[test]
fn of_many_that_take_and_release_the_lock_there_is_one_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (inside, taken) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let backend = FileBackend::new(dir.path());
                while taken.load(Ordering::SeqCst) < 400 {
                    let fence = match acquire(&backend, "ada") {
                        Ok(fence) => fence,
                        Err(StateError::Held { .. }) => {
                            std::thread::yield_now();
                            continue;
                        }
                        Err(other) => panic!("{other}"),
                    };
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold the lock");
                    backend.renew(fence, 2_000).unwrap();
                    inside.fetch_sub(1, Ordering::SeqCst);
                    taken.fetch_add(1, Ordering::SeqCst);
                    backend.release(fence).unwrap();
                }
            });
        }
    });
}

#[test]
fn what_a_second_repair_moves_aside_does_not_replace_what_the_first_did() {
    let dir = tempfile::tempdir().unwrap();
    let backend = FileBackend::new(dir.path());
    let fence = acquire(&backend, "ada").unwrap();
    for (offset, text) in [(0, "one"), (0, "two"), (3, "hi three"), (3, "hi four")] {
        backend.append(fence, 1, text.as_bytes()).unwrap();
        let cut = Cut { piece: "log-000001.jsonl".into(), offset, later: vec![], why: "damaged" };
        backend.cut(fence, &cut).unwrap();
        if offset > 0 {
            let cut = Cut { offset: 0, ..cut };
            backend.cut(fence, &Cut { why: "torn", ..cut }).unwrap();
        }
    }
    let mut kept: Vec<(String, String)> = names(dir.path())
        .into_iter()
        .filter(|name| name.contains(".damaged-"))
        .map(|name| (name.clone(), fs_err::read_to_string(dir.path().join(name)).unwrap()))
        .collect();
    kept.sort();
    let expected = [("damaged-0", "one"), ("damaged-0-2", "two"), ("damaged-3", "three"), ("damaged-3-2", "four")];
    assert_eq!(kept, expected.map(|(end, text)| (format!("log-000001.jsonl.{end}"), text.to_owned())));
}

#[test]
fn an_operation_does_not_take_the_place_of_an_open_one_on_another_member() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), &Keys::none());
    let _guard = store.lock(&owner("ada")).unwrap();
    store.append_wait(vec![begin("7", "a", Action::Create)]).unwrap();
    let error = store.append_wait(vec![begin("7", "b", Action::Create)]).unwrap_err();
    assert_eq!(error.to_string(), "the id `7` of the operation on `b` is that of an operation on `a` that did not end");
    assert_eq!(store.view().intent("7").map(|i| i.member.to_string()).as_deref(), Some("a"));
    // Nothing is lost: what is open can be ended, and then the id is free.
    let end = NewEvent::of("7", Event::End { member: member("a"), outcome: Outcome::Unchanged });
    store.append_wait(vec![end, begin("7", "b", Action::Create)]).unwrap();
}

#[test]
fn a_log_that_is_gone_or_emptied_is_not_taken_for_a_new_one() {
    for harm in ["removed", "emptied", "blank", "overwritten", "cut in its first line"] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path(), &Keys::none());
        // A lock that was taken and given back without anything written is no promise.
        drop(store.lock(&owner("ada")).unwrap());
        let mut store = open(dir.path(), &Keys::none());
        let guard = store.lock(&owner("ada")).unwrap();
        store.append_wait(created("1", "site.page")).unwrap();
        drop((store, guard));
        let log = dir.path().join("log-000001.jsonl");
        match harm {
            "removed" => fs_err::remove_file(&log).unwrap(),
            "emptied" => fs_err::write(&log, "").unwrap(),
            "blank" => fs_err::write(&log, "\n").unwrap(),
            "overwritten" => fs_err::write(&log, "garbage").unwrap(),
            _ => {
                let whole = fs_err::read(&log).unwrap();
                fs_err::write(&log, &whole[..40]).unwrap();
            }
        }
        let backend = Arc::new(FileBackend::new(dir.path()));
        let opened = Store::open(backend.clone(), Keys::none(), FakeClock::at(1_000));
        let error = opened.err().unwrap_or_else(|| panic!("a log that is {harm} is refused"));
        assert!(matches!(error, StateError::Lost { .. }), "{harm}: {error}");

        // Begun anew by the operator's word.
        let backend: Arc<dyn freehold_state::Backend> = backend;
        let clock: Arc<dyn freehold_state::Clock> = FakeClock::at(1_000);
        freehold_state::commands::repair(&backend, &Keys::none(), &clock, &owner("ada")).unwrap();
        let mut store = open(dir.path(), &Keys::none());
        let _guard = store.lock(&owner("ada")).unwrap();
        store.append_wait(created("1", "site.other")).unwrap();
    }
}

#[test]
fn the_last_segment_is_missed_when_a_snapshot_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), &Keys::none());
    let guard = store.lock(&owner("ada")).unwrap();
    store.append_wait(created("1", "site.page")).unwrap();
    store.write_snapshot().unwrap();
    store.append_wait(created("2", "site.other")).unwrap();
    drop((store, guard));
    fs_err::remove_file(dir.path().join("log-000002.jsonl")).unwrap();
    let opened = Store::open(Arc::new(FileBackend::new(dir.path())), Keys::none(), FakeClock::at(1_000));
    assert!(matches!(opened.err().unwrap(), StateError::Lost { piece } if piece == "log-000002.jsonl"));
}
