//! Pushes that are stopped, disturbed, repeated or in company: nothing is ever half there, and nothing is done twice.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::{World, on_one_nix, patient, server, wait_until};
use freehold_cache::{CacheError, Condition, Depot, GcOptions, Kind, Progress, VerifyOptions, gc, verify};
use freehold_nar::{Compression, NarInfo, StorePath};
use freehold_testkit::s3::{Fault, S3Server};

static NEVER: AtomicBool = AtomicBool::new(false);

/// What is known in the cache is complete: each narinfo has its NAR and all that it refers to.
fn check_whole(objects: &BTreeMap<String, Vec<u8>>) -> usize {
    let infos: Vec<NarInfo> = objects
        .iter()
        .filter(|(key, _)| key.ends_with(".narinfo"))
        .map(|(_, body)| NarInfo::parse(body).unwrap())
        .collect();
    for info in &infos {
        let nar = objects.get(&info.url).unwrap_or_else(|| panic!("no NAR for {}", info.path));
        assert_eq!(Some(nar.len() as u64), info.file_size, "{}", info.path);
        for reference in &info.references {
            assert!(objects.contains_key(&NarInfo::key_of(reference)), "{} refers to {reference}", info.path);
        }
    }
    infos.len()
}

fn puts(server: &S3Server, part: &str) -> usize {
    server.seen().iter().filter(|seen| seen.method == "PUT" && seen.target.contains(part)).count()
}

fn ago(seconds: u64) -> GcOptions<'static> {
    GcOptions { keep: &[], age: Duration::from_secs(seconds), delete: true }
}

#[test]
fn a_push_that_is_stopped_leaves_nothing_known_and_the_next_goes_on_there() {
    on_one_nix(|world| {
        let (server, depot) = server();
        let app = world.build("app");
        let (stop, moved) = (AtomicBool::new(false), AtomicUsize::new(0));
        let stop_after_two = |progress| {
            if matches!(progress, Progress::Moved { .. }) && moved.fetch_add(1, Ordering::Relaxed) == 1 {
                stop.store(true, Ordering::Relaxed);
            }
        };
        let result = world.push_heard(&depot, &[&app], Compression::Zstd, &stop, &stop_after_two);
        assert!(matches!(result, Err(CacheError::Stopped)), "{result:?}");
        assert_eq!(check_whole(&server.objects("cache")), 0, "nothing is known yet");
        let before = puts(&server, "/nar/");
        assert!(before >= 2);
        let pushed = world.push(&depot, &[&app]).unwrap();
        assert_eq!(pushed.new, 4);
        assert!(pushed.travelled_bytes < pushed.file_bytes);
        assert_eq!(puts(&server, "/nar/"), 4, "each NAR travelled once");
        assert_eq!(check_whole(&server.objects("cache")), 4);
    });
}

#[test]
fn an_unchanged_closure_costs_a_look_and_nothing_else() {
    on_one_nix(|world| {
        let (server, depot) = server();
        let app = world.build("app");
        world.push(&depot, &[&app]).unwrap();
        let before = server.seen().len();
        assert_eq!(world.push(&depot, &[&app]).unwrap().new, 0);
        let seen = &server.seen()[before..];
        let methods: Vec<&str> = seen.iter().map(|seen| seen.method.as_str()).collect();
        assert_eq!(methods, ["GET", "HEAD"], "the epoch and the root: {seen:?}");
        // Another machine, which remembers nothing.
        std::fs::remove_dir_all(world.index()).unwrap();
        let before = server.seen().len();
        assert_eq!(world.push(&depot, &[&app]).unwrap().new, 0);
        assert_eq!(server.seen().len() - before, 1 + 4 + 1, "the epoch, each narinfo, the age of the root");
    });
}

#[test]
fn what_was_deleted_behind_our_back_is_pushed_again() {
    on_one_nix(|world| {
        let (server, depot) = server();
        let app = world.build("app");
        world.push(&depot, &[&app]).unwrap();
        for key in server.objects("cache").keys() {
            if key != "freehold-epoch" {
                server.remove_object("cache", key);
            }
        }
        assert_eq!(world.push(&depot, &[&app]).unwrap().new, 4, "the root was missed, so nothing is believed");
        assert_eq!(check_whole(&server.objects("cache")), 4);
    });
}

#[test]
fn a_store_that_stumbles_is_asked_again() {
    on_one_nix(|world| {
        let (server, depot) = server();
        let app = world.build("app");
        for (fault, method, part) in [
            (Fault::SlowDown, "PUT", "/nar/"),
            (Fault::Unavailable, "HEAD", "narinfo"),
            (Fault::LostReply, "PUT", "/nar/"),
            (Fault::LostRequest, "PUT", "narinfo"),
            (Fault::LostReply, "PUT", "narinfo"),
            (Fault::ErrorAfterEffect, "PUT", "narinfo"),
            (Fault::LostReply, "PUT", "freehold-epoch"),
            (Fault::LostReply, "PUT", "nix-cache-info"),
        ] {
            server.inject(fault, method, part, 2);
        }
        server.set_latency(Duration::from_millis(3));
        world.push(&depot, &[&app]).unwrap();
        assert_eq!(check_whole(&server.objects("cache")), 4);
        world.forget();
        server.inject(Fault::LostReply, "GET", "narinfo", 2);
        server.inject(Fault::Unavailable, "GET", "/nar/", 2);
        world.pull(&depot, &app, &world.trusted()).unwrap();
        assert!(world.has(&app));
    });
}

#[test]
fn a_store_that_is_gone_for_good_fails_the_push_and_leaves_nothing_half() {
    on_one_nix(|world| {
        let (server, depot) = server();
        let app = world.build("app");
        // The third narinfo and all later ones are refused.
        server.inject(Fault::Delay(Duration::ZERO), "PUT", "narinfo", 2);
        server.inject(Fault::Unavailable, "PUT", "narinfo", usize::MAX);
        let error = world.push(&depot, &[&app]).unwrap_err();
        assert_eq!(error.kind(), freehold_model::ErrorKind::Transient, "{error:?}");
        assert_eq!(check_whole(&server.objects("cache")), 2);
        server.clear_faults();
        assert_eq!(world.push(&depot, &[&app]).unwrap().travelled_bytes, 0);
        assert_eq!(check_whole(&server.objects("cache")), 4);
    });
}

#[test]
fn two_pushes_at_once_do_not_get_in_each_others_way() {
    on_one_nix(|world| {
        let (server, depot) = server();
        let (app, other) = (world.build("app"), world.build("other"));
        for depot in [depot, world.directory("cache")] {
            std::thread::scope(|scope| {
                let pushes: Vec<_> = [vec![&app], vec![&other, &app], vec![&other]]
                    .into_iter()
                    .map(|roots| {
                        let depot = depot.clone();
                        scope.spawn(move || world.push(&depot, &roots))
                    })
                    .collect();
                for push in pushes {
                    push.join().unwrap().unwrap();
                }
            });
            let trusted = world.trusted();
            let options = VerifyOptions { trusted: Some(&trusted), contents: true };
            let verified = verify(&depot, options, &|_| {}, &NEVER).unwrap();
            assert_eq!((verified.paths, verified.problems.as_slice()), (5, &[][..]));
        }
        assert_eq!(check_whole(&server.objects("cache")), 5);
    });
}

#[test]
fn a_collection_between_is_noticed_and_what_it_took_is_pushed_again() {
    on_one_nix(|world| {
        let (server, depot) = server();
        let (app, lib) = (world.build("app"), world.build("lib"));
        world.push(&depot, &[&lib]).unwrap();
        let once = AtomicBool::new(true);
        let heard = AtomicUsize::new(0);
        // Between the look at what is there and the last narinfo: `lib` and `base` go.
        let collect = |progress| match progress {
            Progress::Planned { .. } if once.swap(false, Ordering::Relaxed) => {
                let collected = gc(&depot, &ago(0), &NEVER).unwrap();
                assert_eq!(collected.paths.len(), 2);
            }
            Progress::Again => {
                heard.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        };
        world.push_heard(&depot, &[&app], Compression::Zstd, &NEVER, &collect).unwrap();
        assert_eq!(heard.load(Ordering::Relaxed), 1);
        assert_eq!(check_whole(&server.objects("cache")), 4);
    });
}

#[test]
fn a_path_that_was_changed_in_the_store_is_not_pushed() {
    on_one_nix(|world| {
        let (server, depot) = server();
        let app = world.build("app");
        let file = world.build("base");
        let mut mode = std::fs::metadata(file.as_str()).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o644);
        std::fs::set_permissions(file.as_str(), mode).unwrap();
        std::fs::write(file.as_str(), "evil\n").unwrap();
        let error = world.push(&depot, &[&app]).unwrap_err();
        assert!(error.to_string().starts_with(&format!("`{file}` was changed in the store")), "{error}");
        assert!(error.hint().unwrap().contains("nix-store --repair-path"));
        assert_eq!(check_whole(&server.objects("cache")), 0);
    });
}

#[test]
fn a_cache_of_another_store_directory_is_refused() {
    on_one_nix(|world| {
        let depot = world.directory("cache");
        depot.put("nix-cache-info", b"StoreDir: /elsewhere\n", Kind::CacheInfo, &Condition::None).unwrap();
        let app = world.build("app");
        let said = world.push(&depot, &[&app]).unwrap_err().to_string();
        assert!(said.contains("holds paths of `/elsewhere`"), "{said}");
    });
}

/// The paths that a depot knows, by name.
fn known(depot: &Depot) -> Vec<String> {
    freehold_cache::list(depot, &NEVER).unwrap().iter().map(|info| info.path.name().to_owned()).collect()
}

fn manifest(depot: &Depot, key: &str, path: &StorePath) {
    let json = format!(r#"{{"version":1,"services":[{{"artifact":{{"storePath":"{path}"}}}}]}}"#);
    depot.put(key, json.as_bytes(), Kind::Json, &Condition::None).unwrap();
}

fn collects(world: &World, depot: &Depot) {
    let (app, lib, base, other) = (world.build("app"), world.build("lib"), world.build("base"), world.build("other"));
    world.push(depot, &[&app, &other]).unwrap();
    manifest(depot, "manifest.json", &other);
    manifest(depot, "manifests/manifest-1.json", &lib);
    let young = gc(depot, &GcOptions { age: Duration::from_secs(3600), ..ago(0) }, &NEVER).unwrap();
    assert_eq!((young.paths.len(), young.nars, young.kept), (0, 0, 5), "what was just pushed stays");
    let dry = gc(depot, &GcOptions { delete: false, ..ago(0) }, &NEVER).unwrap();
    assert_eq!(dry.paths.len(), 2, "{dry:?}");
    assert_eq!(known(depot).len(), 5, "nothing goes unless asked for");
    let kept = gc(depot, &GcOptions { keep: std::slice::from_ref(&app), ..ago(0) }, &NEVER).unwrap();
    assert_eq!((kept.paths.len(), known(depot).len()), (0, 5));
    let done = gc(depot, &ago(0), &NEVER).unwrap();
    assert_eq!((done.paths, done.nars, done.kept), (dry.paths, 2, 3));
    assert_eq!(known(depot), ["base", "lib", "other"]);
    assert_eq!(depot.list("nar/").unwrap().len(), 3);
    depot.delete(&NarInfo::key_of(&base)).unwrap();
    depot.put("manifests/broken.json", b"{", Kind::Json, &Condition::None).unwrap();
    let said = gc(depot, &ago(0), &NEVER).unwrap_err().to_string();
    assert!(said.starts_with("`manifests/broken.json`"), "{said}");
}

#[test]
fn what_no_manifest_names_is_collected_when_it_is_old() {
    on_one_nix(|world| {
        collects(world, &world.directory("cache"));
        let (_server, depot) = server();
        collects(world, &depot);
    });
}

#[test]
fn everything_that_is_wrong_in_a_cache_is_found() {
    on_one_nix(|world| {
        let depot = world.directory("cache");
        let (app, lib, base) = (world.build("app"), world.build("lib"), world.build("base"));
        world.push(&depot, &[&app]).unwrap();
        let trusted = world.trusted();
        let problems = |contents| {
            let options = VerifyOptions { trusted: Some(&trusted), contents };
            let verified = verify(&depot, options, &|_| {}, &NEVER).unwrap();
            verified.problems.into_iter().map(|p| (p.path.unwrap_or(p.key), p.what)).collect::<Vec<_>>()
        };
        assert_eq!(problems(true), []);
        let info =
            |path: &StorePath| NarInfo::parse(&depot.get(&NarInfo::key_of(path)).unwrap().unwrap().body).unwrap();
        let mut nar = depot.get(&info(&lib).url).unwrap().unwrap().body;
        *nar.last_mut().unwrap() ^= 1;
        depot.put(&info(&lib).url, &nar, Kind::Nar, &Condition::None).unwrap();
        assert_eq!(problems(false), [], "the size is right");
        assert_eq!(problems(true).len(), 1);
        assert!(problems(true)[0].1.starts_with("its NAR is not what it says: its file hashes to"));
        depot.put(&info(&lib).url, b"", Kind::Nar, &Condition::None).unwrap();
        assert_eq!(problems(false)[0].0, lib.as_str());
        assert!(problems(false)[0].1.starts_with("its NAR has 0 bytes instead of"));
        depot.delete(&info(&lib).url).unwrap();
        assert!(problems(false)[0].1.starts_with("its NAR is missing"));
        depot.delete(&info(&base).key()).unwrap();
        assert!(
            problems(false)
                .iter()
                .any(|(path, what)| path == lib.as_str() && what.contains(&format!("refers to `{base}`")))
        );
        depot.put(&NarInfo::key_of(&base), b"StorePath", Kind::NarInfo, &Condition::None).unwrap();
        assert!(problems(false).iter().any(|(_, what)| what.starts_with("not a narinfo")));
        let unsigned = NarInfo { signatures: Vec::new(), ..info(&app) };
        depot.put(&unsigned.key(), unsigned.render().as_bytes(), Kind::NarInfo, &Condition::None).unwrap();
        assert!(
            problems(false).iter().any(
                |(path, what)| path == app.as_str() && what == "no trusted key has signed it (it has no signature)"
            )
        );
    });
}

#[test]
fn a_pull_that_is_stopped_goes_on_with_what_it_has() {
    on_one_nix(|world| {
        let (server, depot) = server();
        let app = world.build("app");
        world.push(&depot, &[&app]).unwrap();
        world.forget();
        // The last NAR does not come.
        server.inject(Fault::Delay(Duration::ZERO), "GET", "/nar/", 3);
        server.inject(Fault::Unavailable, "GET", "/nar/", usize::MAX);
        world.pull(&depot, &app, &world.trusted()).unwrap_err();
        assert!(world.scratch.exists("staging/.freehold-staging"));
        assert!(!world.has(&app));
        server.clear_faults();
        let pulled = world.pull(&depot, &app, &world.trusted()).unwrap();
        assert!(pulled.travelled_bytes < pulled.file_bytes, "{pulled:?}");
        assert!(world.has(&app));
        assert!(!world.scratch.exists("staging"));
    });
}

#[test]
fn a_staging_directory_with_other_things_in_it_is_left_alone() {
    on_one_nix(|world| {
        let depot = world.directory("cache");
        let app = world.build("app");
        world.push(&depot, &[&app]).unwrap();
        world.forget();
        world.scratch.write("staging/mine", "precious");
        let said = world.pull(&depot, &app, &world.trusted()).unwrap_err().to_string();
        assert!(said.ends_with("it holds other things"), "{said}");
        assert_eq!(world.scratch.read("staging/mine"), "precious");
    });
}

#[test]
fn an_old_root_that_is_pushed_again_is_young_for_the_next_collection() {
    on_one_nix(|world| {
        let depot = world.directory("cache");
        let app = world.build("app");
        world.push(&depot, &[&app]).unwrap();
        let files: Vec<_> =
            depot.list("").unwrap().into_iter().map(|listed| world.scratch.join("cache").join(listed.key)).collect();
        let days_ago = std::time::SystemTime::now() - Duration::from_secs(3 * 24 * 60 * 60);
        for file in files {
            std::fs::File::options().write(true).open(file).unwrap().set_modified(days_ago).unwrap();
        }
        let dry = GcOptions { delete: false, ..ago(24 * 60 * 60) };
        assert_eq!(gc(&depot, &dry, &NEVER).unwrap().paths.len(), 4);
        assert_eq!(world.push(&depot, &[&app]).unwrap().new, 0);
        assert_eq!(gc(&depot, &dry, &NEVER).unwrap().paths.len(), 0, "its closure is kept with it");
    });
}

fn deletes(server: &S3Server) -> usize {
    server.count("DELETE")
}

#[test]
fn a_push_that_starts_while_a_collection_deletes_keeps_its_paths() {
    on_one_nix(|world| {
        let (server, depot) = server();
        let (app, lib) = (world.build("app"), world.build("lib"));
        world.push(&depot, &[&app]).unwrap();
        // The first deletion is done and not answered for, until the push is seen to wait.
        server.inject(Fault::ErrorAfterEffect, "DELETE", "narinfo", usize::MAX);
        let held_up = patient(&server);
        let waited = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let collection = scope.spawn(|| gc(&held_up, &ago(0), &NEVER));
            wait_until("nothing is deleted", || deletes(&server) > 0);
            // `app` is gone, `lib` and `base` are still there and about to go.
            let hear = |progress| {
                if matches!(progress, Progress::Waiting) {
                    waited.fetch_add(1, Ordering::Relaxed);
                    server.clear_faults();
                }
            };
            let pushed = world.push_heard(&depot, &[&lib], Compression::Zstd, &NEVER, &hear);
            server.clear_faults();
            pushed.unwrap();
            assert_eq!(collection.join().unwrap().unwrap().paths.len(), 4);
        });
        assert_eq!(waited.load(Ordering::Relaxed), 1, "it is told that it waits");
        assert_eq!(check_whole(&server.objects("cache")), 2);
    });
}

#[test]
fn a_push_that_ends_while_a_collection_deletes_looks_again() {
    on_one_nix(|world| {
        let (server, depot) = server();
        let (app, lib) = (world.build("app"), world.build("lib"));
        world.push(&depot, &[&lib]).unwrap();
        server.inject(Fault::Delay(Duration::from_millis(800)), "DELETE", "narinfo", 1);
        let again = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            // It begins when all NARs of `app` are there and nothing of it is known, and is under way when that is made known.
            let collect = |progress| match progress {
                Progress::Publishing if again.load(Ordering::Relaxed) == 0 => {
                    scope.spawn(|| gc(&depot, &ago(0), &NEVER).unwrap());
                    wait_until("nothing is deleted", || deletes(&server) > 0);
                }
                Progress::Again => {
                    again.fetch_add(1, Ordering::Relaxed);
                }
                _ => {}
            };
            world.push_heard(&depot, &[&app], Compression::Zstd, &NEVER, &collect).unwrap();
        });
        assert!(again.load(Ordering::Relaxed) > 0);
        assert_eq!(check_whole(&server.objects("cache")), 4);
    });
}

#[test]
fn a_collection_that_was_killed_holds_up_a_push_for_the_time_of_its_mark_only() {
    on_one_nix(|world| {
        let (_server, bucket) = server();
        for depot in [bucket, world.directory("cache")] {
            let lib = world.build("lib");
            depot.put("freehold-epoch", b"1 collecting 1 a\n", Kind::Text, &Condition::None).unwrap();
            let begun = std::time::Instant::now();
            world.push(&depot, &[&lib]).unwrap();
            assert!(begun.elapsed() >= Duration::from_secs(1), "it was waited for");
            let epoch = String::from_utf8(depot.get("freehold-epoch").unwrap().unwrap().body).unwrap();
            assert!(!epoch.contains("collecting") && !epoch.starts_with("1\n"), "{epoch}");
            assert_eq!(world.push(&depot, &[&lib]).unwrap().new, 0);
        }
    });
}

#[test]
fn a_push_that_waits_for_a_collection_can_be_stopped() {
    on_one_nix(|world| {
        let depot = world.directory("cache");
        let lib = world.build("lib");
        depot.put("freehold-epoch", b"1 collecting 60 a\n", Kind::Text, &Condition::None).unwrap();
        let stop = AtomicBool::new(false);
        let hear = |progress| {
            if matches!(progress, Progress::Waiting) {
                stop.store(true, Ordering::Relaxed);
            }
        };
        let result = world.push_heard(&depot, &[&lib], Compression::Zstd, &stop, &hear);
        assert!(matches!(result, Err(CacheError::Stopped)), "{result:?}");
    });
}

#[test]
fn a_collection_whose_mark_was_taken_away_deletes_no_more() {
    on_one_nix(|world| {
        let (server, depot) = server();
        let app = world.build("app");
        world.push(&depot, &[&app]).unwrap();
        // The first deletion is done and not answered for, until the mark is another's.
        server.inject(Fault::ErrorAfterEffect, "DELETE", "narinfo", usize::MAX);
        let held_up = patient(&server);
        std::thread::scope(|scope| {
            let collection = scope.spawn(|| gc(&held_up, &ago(0), &NEVER));
            wait_until("nothing is deleted", || deletes(&server) > 0);
            depot.put("freehold-epoch", b"other\n", Kind::Text, &Condition::None).unwrap();
            server.clear_faults();
            let error = collection.join().unwrap().unwrap_err();
            assert!(matches!(error, CacheError::Overtaken { .. }), "{error:?}");
        });
        assert_eq!(check_whole(&server.objects("cache")), 3, "only `app` is gone");
        assert_eq!(depot.get("freehold-epoch").unwrap().unwrap().body, b"other\n", "the other one's word stands");
    });
}

/// A path of another store directory, as its cache tells of it.
fn elsewhere(depot: &Depot, name: &str) -> StorePath {
    let path = StorePath::parse(&format!("/elsewhere/store/bssq1i34r9ixn22c79qfqskrvfvh9ipq-{name}")).unwrap();
    let hash = freehold_nar::Sha256::of(name.as_bytes());
    let text = format!(
        "StorePath: {path}\nURL: nar/{name}.nar\nCompression: none\nNarHash: {hash}\nNarSize: 1\nReferences: \n"
    );
    depot.put(&NarInfo::key_of(&path), text.as_bytes(), Kind::NarInfo, &Condition::None).unwrap();
    depot.put(&format!("nar/{name}.nar"), b"x", Kind::Nar, &Condition::None).unwrap();
    path
}

#[test]
fn a_collection_does_not_guess_the_store_directory_of_a_cache() {
    let scratch = freehold_testkit::Scratch::new();
    let depot = Depot::open(&format!("file://{}", scratch.join("cache").display())).unwrap();
    let path = elsewhere(&depot, "service");
    manifest(&depot, "manifest.json", &path);
    assert_eq!(gc(&depot, &ago(0), &NEVER).unwrap().paths, [""; 0], "without a head, what it holds tells");
    assert_eq!(known(&depot), ["service"]);
    depot.put("nix-cache-info", b"StoreDir\n", Kind::CacheInfo, &Condition::None).unwrap();
    let error = gc(&depot, &ago(0), &NEVER).unwrap_err();
    assert!(matches!(&error, CacheError::BadText { key, .. } if key == "nix-cache-info"), "{error:?}");
    depot.put("nix-cache-info", b"StoreDir: /elsewhere/store\n", Kind::CacheInfo, &Condition::None).unwrap();
    assert_eq!(gc(&depot, &ago(0), &NEVER).unwrap().paths, [""; 0]);
    assert_eq!(known(&depot), ["service"]);
}

#[test]
fn a_narinfo_that_a_loss_of_power_left_empty_is_written_again() {
    on_one_nix(|world| {
        let (server, bucket) = server();
        for depot in [world.directory("cache"), bucket] {
            let (app, lib) = (world.build("app"), world.build("lib"));
            world.push(&depot, &[&app]).unwrap();
            for path in [&app, &lib] {
                depot.put(&NarInfo::key_of(path), b"", Kind::NarInfo, &Condition::None).unwrap();
            }
            // A bucket loses nothing of what it has answered for: there, only what is asked for is looked at.
            let recheck = depot.is_remote();
            let pushed = world.push_with(&depot, &[&app], recheck).unwrap();
            assert_eq!((pushed.new, pushed.travelled_bytes), (2, 0), "{recheck}");
            let options = VerifyOptions { trusted: None, contents: true };
            assert_eq!(verify(&depot, options, &|_| {}, &NEVER).unwrap().problems, []);
        }
        drop(server);
    });
}

#[test]
fn a_recheck_brings_again_what_cannot_be_read_and_nars_that_are_gone() {
    on_one_nix(|world| {
        let depot = world.directory("cache");
        let (app, lib, base) = (world.build("app"), world.build("lib"), world.build("base"));
        world.push(&depot, &[&app]).unwrap();
        depot.put(&NarInfo::key_of(&base), b"StorePath: half", Kind::NarInfo, &Condition::None).unwrap();
        let info = NarInfo::parse(&depot.get(&NarInfo::key_of(&lib)).unwrap().unwrap().body).unwrap();
        depot.delete(&info.url).unwrap();
        assert_eq!(world.push(&depot, &[&app]).unwrap().new, 0, "what is remembered is believed");
        assert_eq!(world.push_with(&depot, &[&app], true).unwrap().new, 2);
        let options = VerifyOptions { trusted: None, contents: true };
        assert_eq!(verify(&depot, options, &|_| {}, &NEVER).unwrap().problems, []);
    });
}

#[test]
fn a_path_to_keep_that_is_not_there_stops_a_collection_before_it_deletes() {
    on_one_nix(|world| {
        let depot = world.directory("cache");
        let (lib, other) = (world.build("lib"), world.build("other"));
        world.push(&depot, &[&lib]).unwrap();
        let options = GcOptions { keep: std::slice::from_ref(&other), ..ago(0) };
        let dry = gc(&depot, &GcOptions { delete: false, ..options.clone() }, &NEVER).unwrap();
        assert_eq!((dry.paths.len(), dry.absent), (2, vec![other.to_string()]));
        let said = gc(&depot, &options, &NEVER).unwrap_err().to_string();
        assert!(said.starts_with(&format!("`{other}` is to be kept and not in")), "{said}");
        assert_eq!(known(&depot), ["base", "lib"]);
        assert_eq!(world.push(&depot, &[&lib]).unwrap().new, 0);
    });
}
