//! A cache with several keys: each push sees to it that its own key has signed all of its closure.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

mod common;

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use common::{World, on_one_nix, server};
use freehold_cache::{Condition, Depot, Kind, Progress, PushOptions, Pushed, VerifyOptions, list, push, verify};
use freehold_nar::{Compression, NarInfo, SecretKey, Sha256, StorePath, TrustedKeys};
use freehold_testkit::s3::S3Server;

static NEVER: AtomicBool = AtomicBool::new(false);

fn nars(server: &S3Server) -> usize {
    server.seen().iter().filter(|seen| seen.method == "PUT" && seen.target.contains("/nar/")).count()
}

fn push_signed(
    world: &World,
    depot: &Depot,
    root: &StorePath,
    key: &SecretKey,
    listener: &(dyn Fn(Progress) + Sync),
) -> Pushed {
    let index = world.index();
    let options = PushOptions { compression: Compression::Zstd, index: Some(&index), recheck: false };
    push(&world.nix, depot, std::slice::from_ref(root), key, &options, listener, &NEVER).unwrap()
}

#[test]
fn a_path_that_another_key_signed_is_signed_by_the_pushers_key_too() {
    on_one_nix(|world| {
        let second = SecretKey::generate("test-2").unwrap();
        let trusted = TrustedKeys::new(vec![second.public()]);
        let (server, bucket) = server();
        for depot in [bucket, world.directory("cache")] {
            let app = world.build("app");
            world.push(&depot, &[&app]).unwrap();
            let sent = nars(&server);
            let pushed = push_signed(world, &depot, &app, &second, &|_| {});
            assert_eq!((pushed.new, pushed.signed), (0, 4));
            assert_eq!(nars(&server), sent, "no NAR travels for that");
            for keys in [&trusted, &world.trusted()] {
                let options = VerifyOptions { trusted: Some(keys), contents: true };
                assert_eq!(verify(&depot, options, &|_| {}, &NEVER).unwrap().problems, []);
            }
            let before = server.seen().len();
            assert_eq!(push_signed(world, &depot, &app, &second, &|_| {}).signed, 0);
            let asked = server.seen().len() - before;
            assert_eq!(asked, if depot.is_remote() { 2 } else { 0 }, "it is remembered which key signed what");
            world.forget();
            world.pull(&depot, &app, &trusted).unwrap();
            assert!(world.has(&app));
        }
    });
}

#[test]
fn two_keys_that_sign_at_once_both_remain() {
    on_one_nix(|world| {
        let (_server, depot) = server();
        let app = world.build("app");
        world.push(&depot, &[&app]).unwrap();
        let keys: Vec<_> = (2..6).map(|n| SecretKey::generate(&format!("test-{n}")).unwrap()).collect();
        std::thread::scope(|scope| {
            for key in &keys {
                let (depot, app) = (&depot, &app);
                scope.spawn(move || push_signed(world, depot, app, key, &|_| {}));
            }
        });
        for info in list(&depot, &NEVER).unwrap() {
            assert_eq!(info.signatures.len(), 5, "{}", info.path);
        }
    });
}

#[test]
fn what_differs_from_the_store_here_is_not_signed() {
    on_one_nix(|world| {
        let second = SecretKey::generate("test-2").unwrap();
        let depot = world.directory("cache");
        let (app, lib) = (world.build("app"), world.build("lib"));
        world.push(&depot, &[&app]).unwrap();
        let key = NarInfo::key_of(&lib);
        let mut info = NarInfo::parse(&depot.get(&key).unwrap().unwrap().body).unwrap();
        info.nar_hash = Sha256::of(b"evil");
        info.sign(&world.key);
        depot.put(&key, info.render().as_bytes(), Kind::NarInfo, &Condition::None).unwrap();
        let told = Mutex::new(Vec::new());
        let hear = |progress| {
            if let Progress::Differs { path } = progress {
                told.lock().unwrap().push(path);
            }
        };
        assert_eq!(push_signed(world, &depot, &app, &second, &hear).signed, 3);
        assert_eq!(*told.lock().unwrap(), [lib.to_string()]);
        assert_eq!(NarInfo::parse(&depot.get(&key).unwrap().unwrap().body).unwrap(), info);
    });
}

#[test]
fn a_path_that_is_brought_again_keeps_the_signatures_of_others() {
    on_one_nix(|world| {
        let second = SecretKey::generate("test-2").unwrap();
        let depot = world.directory("cache");
        let base = world.build("base");
        world.push(&depot, &[&base]).unwrap();
        let key = NarInfo::key_of(&base);
        let read = || NarInfo::parse(&depot.get(&key).unwrap().unwrap().body).unwrap();
        depot.delete(&read().url).unwrap();
        let options = PushOptions { compression: Compression::Zstd, index: None, recheck: true };
        let roots = std::slice::from_ref(&base);
        assert_eq!(push(&world.nix, &depot, roots, &second, &options, &|_| {}, &NEVER).unwrap().new, 1);
        assert_eq!(read().signatures.len(), 2);
        assert!(read().signer(&world.trusted()).is_some());
    });
}
