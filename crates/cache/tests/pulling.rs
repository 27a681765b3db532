//! Pulls in company, and of caches that lie: what is staged is never in each other's way, and never without an end.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{on_one_nix, patient, server, wait_until};
use freehold_cache::{CacheError, Condition, Kind, Progress, pull};
use freehold_nar::NarInfo;
use freehold_testkit::s3::{Fault, Seen};

#[test]
fn several_pulls_of_one_path_at_once_take_turns_and_find_the_work_done() {
    on_one_nix(|world| {
        let (server, depot) = server();
        let app = world.build("app");
        world.push(&depot, &[&app]).unwrap();
        world.forget();
        server.set_latency(Duration::from_millis(20));
        let before = server.count("GET");
        let pulled: Vec<_> = std::thread::scope(|scope| {
            let pulls: Vec<_> = (0..4).map(|_| scope.spawn(|| world.pull(&depot, &app, &world.trusted()))).collect();
            pulls.into_iter().map(|pull| pull.join().unwrap().unwrap()).collect()
        });
        assert!(world.has(&app));
        assert_eq!(pulled.iter().map(|pulled| pulled.new).sum::<usize>(), 4, "one of them did the work: {pulled:?}");
        let nars =
            server.seen().iter().skip(before).filter(|s| s.method == "GET" && s.target.contains("/nar/")).count();
        assert_eq!(nars, 4, "each NAR travelled once");
        assert!(!world.scratch.exists("staging"));
    });
}

#[test]
fn a_pull_that_waits_for_another_can_be_stopped() {
    on_one_nix(|world| {
        let (server, depot) = server();
        let app = world.build("app");
        world.push(&depot, &[&app]).unwrap();
        world.forget();
        // The first one gets no NAR until the second has given up.
        server.inject(Fault::Unavailable, "GET", "/nar/", usize::MAX);
        let held_up = patient(&server);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| world.pull(&held_up, &app, &world.trusted()));
            let asks = |seen: &Seen| seen.method == "GET" && seen.target.contains("/nar/");
            wait_until("no NAR is asked for", || server.seen().iter().any(asks));
            let stop = AtomicBool::new(false);
            let hear = |progress| {
                if matches!(progress, Progress::Behind) {
                    stop.store(true, Ordering::Relaxed);
                }
            };
            let (roots, staging) = (std::slice::from_ref(&app), world.scratch.join("staging"));
            let second = pull(&world.nix, &depot, roots, &world.trusted(), &staging, &hear, &stop);
            server.clear_faults();
            assert!(matches!(second, Err(CacheError::Stopped)), "{second:?}");
            assert_eq!(first.join().unwrap().unwrap().new, 4);
        });
    });
}

/// Bytes of all files below a directory.
fn bytes_below(dir: &std::path::Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let bytes = |path: std::path::PathBuf| match path.metadata() {
        Ok(data) if data.is_dir() => bytes_below(&path),
        Ok(data) => data.len(),
        // It is gone already.
        Err(_) => 0,
    };
    entries.flatten().map(|entry| bytes(entry.path())).sum()
}

#[test]
fn a_nar_that_does_not_end_is_cut_off_and_leaves_nothing() {
    const TOO_MUCH: usize = 20_000_000;
    on_one_nix(|world| {
        let (server, bucket) = server();
        for depot in [world.directory("cache"), bucket] {
            let base = world.build("base");
            world.push(&depot, &[&base]).unwrap();
            world.forget();
            let key = NarInfo::key_of(&base);
            let info = NarInfo::parse(&depot.get(&key).unwrap().unwrap().body).unwrap();
            let mut nar = depot.get(&info.url).unwrap().unwrap().body;
            nar.resize(TOO_MUCH, 0);
            depot.put(&info.url, &nar, Kind::Nar, &Condition::None).unwrap();
            // With the true size of its file, and without: neither size nor hash of the file is signed.
            for lie in [info.clone(), NarInfo { file_size: None, file_hash: None, ..info.clone() }] {
                depot.put(&key, lie.render().as_bytes(), Kind::NarInfo, &Condition::None).unwrap();
                let most = std::sync::atomic::AtomicU64::new(0);
                let done = AtomicBool::new(false);
                let error = std::thread::scope(|scope| {
                    scope.spawn(|| {
                        while !done.load(Ordering::Relaxed) {
                            most.fetch_max(bytes_below(&world.scratch.join("staging")), Ordering::Relaxed);
                            std::thread::sleep(Duration::from_micros(200));
                        }
                    });
                    let result = world.pull(&depot, &base, &world.trusted());
                    done.store(true, Ordering::Relaxed);
                    result.unwrap_err()
                });
                assert!(
                    matches!(&error, CacheError::BadNar { reason, .. } if reason.contains("more than")),
                    "{error:?}"
                );
                assert!(most.load(Ordering::Relaxed) < 2_000_000, "{most:?} bytes were staged");
                assert_eq!(bytes_below(&world.scratch.join("staging/nar")), 0, "nothing of it stays");
            }
        }
        drop(server);
    });
}

#[test]
fn what_was_staged_long_ago_for_other_paths_is_swept() {
    on_one_nix(|world| {
        let depot = world.directory("cache");
        let base = world.build("base");
        world.push(&depot, &[&base]).unwrap();
        world.forget();
        let weeks_ago = std::time::SystemTime::now() - Duration::from_secs(60 * 24 * 60 * 60);
        let old = |path: &str| {
            let file = world.scratch.write(path, "");
            std::fs::File::options().write(true).open(file).unwrap().set_modified(weeks_ago).unwrap();
        };
        old("pulls/stale/.freehold-staging");
        old("pulls/stale/nar/x.nar");
        old("pulls/theirs/precious");
        world.scratch.write("pulls/fresh/.freehold-staging", "");
        old("pulls/busy/.freehold-staging");
        let busy =
            std::fs::File::options().write(true).open(world.scratch.join("pulls/busy/.freehold-staging")).unwrap();
        busy.lock().unwrap();
        let staging = world.scratch.join("pulls/mine");
        let roots = std::slice::from_ref(&base);
        pull(&world.nix, &depot, roots, &world.trusted(), &staging, &|_| {}, &AtomicBool::new(false)).unwrap();
        let left = |name: &str| world.scratch.exists(format!("pulls/{name}"));
        assert_eq!(["stale", "mine", "theirs", "fresh", "busy"].map(left), [false, false, true, true, true]);
    });
}

#[test]
fn a_nar_that_failed_on_its_way_leaves_no_part_of_it() {
    on_one_nix(|world| {
        let (server, depot) = server();
        let app = world.build("app");
        world.push(&depot, &[&app]).unwrap();
        world.forget();
        server.inject(Fault::Unavailable, "GET", "/nar/", usize::MAX);
        world.pull(&depot, &app, &world.trusted()).unwrap_err();
        let parts: Vec<_> = std::fs::read_dir(world.scratch.join("staging/nar")).unwrap().flatten().collect();
        assert!(parts.is_empty(), "{parts:?}");
    });
}

#[test]
fn a_compression_that_is_not_known_is_told_before_anything_travels() {
    on_one_nix(|world| {
        let (server, depot) = server();
        let base = world.build("base");
        world.push(&depot, &[&base]).unwrap();
        world.forget();
        let key = NarInfo::key_of(&base);
        let text = String::from_utf8(depot.get(&key).unwrap().unwrap().body).unwrap();
        let text = text.replace("Compression: zstd", "Compression: lz4");
        depot.put(&key, text.as_bytes(), Kind::NarInfo, &Condition::None).unwrap();
        let before = server.seen().len();
        let error = world.pull(&depot, &base, &world.trusted()).unwrap_err();
        assert!(error.to_string().ends_with("is compressed with `lz4`, which is not supported"), "{error}");
        assert!(error.hint().unwrap().contains("nix copy --from"));
        assert!(!server.seen()[before..].iter().any(|seen| seen.target.contains("/nar/")));
    });
}
