//! What the state costs: `cargo bench -p freehold-state [-- RECORDS]` prints a table.
//!
//! Budget: less than 50 µs of CPU per event at 100,000 records, one sync per group; a replay of 100,000 records in about
//! a second.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use common::{FakeClock, created, owner};
use freehold_state::{FileBackend, Keys, Store, SystemClock};

fn main() {
    // cargo passes `--bench`.
    let records = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(100_000_usize);
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::ephemeral();
    println!("state of {records} records in a directory, 2 events each\n");
    println!("{:<52} {:>12} {:>14}", "work", "time", "CPU per event");

    let mut store = open(&dir, &keys);
    let guard = store.lock(&owner("ada")).unwrap();
    let events = records * 2;
    report("append, groups as they form", events, || {
        let (tell, told) = channel();
        for n in 0..records {
            let tell = tell.clone();
            let done = Box::new(move |result: Result<u64, _>| tell.send(result.unwrap()).unwrap());
            store.append(created(&n.to_string(), &format!("hosts.web{}.member{n}", n % 100)), done);
        }
        drop(tell);
        assert_eq!(told.iter().count(), records);
    });
    report("close (snapshots that were put off)", events, || store.close_writer());
    drop((store, guard));

    report("open (newest snapshot, events after it)", events, || drop(open(&dir, &keys)));
    let backend = FileBackend::new(dir.path());
    report("open, no snapshot: every event", events, || {
        let all = freehold_state::commands::state_at(&backend, &keys, events as u64).unwrap();
        assert_eq!(all.records().len(), records);
    });

    let mut store = open(&dir, &keys);
    let _guard = store.lock(&owner("ada")).unwrap();
    for more in [1, 100, 1000] {
        let title = format!("{more} x (begin + end) at that size, each waited for");
        report(&title, more * 2, || {
            for n in 0..more {
                store.append_wait(created(&format!("w{n}"), &format!("more.m{n}"))).unwrap();
            }
        });
    }
    let title = "500 updates at that size, one group";
    report(title, 1000, || {
        let batch = (0..500).flat_map(|n| created(&format!("g{n}"), &format!("more.m{n}"))).collect();
        store.append_wait(batch).unwrap();
    });
    let _ = FakeClock::at(0);
}

fn open(dir: &tempfile::TempDir, keys: &Keys) -> Store {
    Store::open(Arc::new(FileBackend::new(dir.path())), keys.clone(), Arc::new(SystemClock)).unwrap()
}

fn report(title: &str, events: usize, work: impl FnOnce()) {
    let (started, cpu) = (Instant::now(), cpu_time());
    work();
    let (wall, cpu) = (started.elapsed(), cpu_time() - cpu);
    let each = cpu.as_secs_f64() * 1e6 / events as f64;
    println!("{title:<52} {:>9.1} ms {each:>11.2} µs", wall.as_secs_f64() * 1e3);
}

/// CPU time of all threads of this process, user and system.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}
