//! Publishers and readers at a directory and at a bucket, with and without conditional writes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::LazyLock;

use freehold_cache::{Condition, Depot, DepotUrl, Kind};
use freehold_manifest::{Edit, Manifest, ServiceFlags};
use freehold_nar::{SecretKey, TrustedKeys};
use freehold_publish::{Board, Look, Publisher};
use freehold_s3::{CredentialsSource, Keys};
use freehold_testkit::Scratch;
use freehold_testkit::s3::S3Server;

fn put(name: &str, revision: &str) -> impl Fn(Option<&Manifest>) -> Result<Edit, freehold_manifest::ManifestError> {
    let flags = ServiceFlags {
        store_path: Some(format!("/nix/store/0c2mn5xhkzyyx7hbcmxgjvwqyxf1x7bd-{name}")),
        command: Some(name.to_owned()),
        revision: Some(revision.to_owned()),
        ..ServiceFlags::default()
    };
    let name = name.to_owned();
    move |before| {
        let before = before.and_then(|manifest| manifest.service(&name).ok());
        flags.apply(&name, before).map(|service| Edit::Put(Box::new(service)))
    }
}

static NOBODY: LazyLock<TrustedKeys> = LazyLock::new(TrustedKeys::default);

/// Builds on what it has signed itself.
fn publisher(key: &SecretKey) -> Publisher<'_> {
    Publisher { key, trusted: &NOBODY, adopts: false }
}

fn directory(scratch: &Scratch) -> Board {
    Board::new(Depot::open(&format!("file://{}", scratch.join("bucket").display())).unwrap())
}

#[test]
fn a_manifest_is_published_archived_and_looked_at_only_when_it_changed() {
    let scratch = Scratch::new();
    let board = directory(&scratch);
    let key = SecretKey::generate("k").unwrap();
    assert_eq!(board.look(None).unwrap(), Look::Nothing);
    let first = board.publish(Some(&publisher(&key)), &put("web", "1")).unwrap();
    assert_eq!((first.before.is_none(), first.manifest.serial, first.retries), (true, Some(1), 0));
    let Look::Found(current) = board.look(None).unwrap() else { panic!("there is one") };
    assert_eq!(current.manifest, first.manifest);
    assert!(Manifest::verify(&current.bytes, &TrustedKeys::new(vec![key.public()])).is_ok());
    assert_eq!(board.look(Some(&current.etag)).unwrap(), Look::Unchanged);
    assert_eq!(board.archived().unwrap(), []);

    let second = board.publish(Some(&publisher(&key)), &put("web", "2")).unwrap();
    assert_eq!(second.manifest.serial, Some(2));
    assert_eq!(board.archived().unwrap(), std::slice::from_ref(&first.manifest.generation));
    assert_eq!(board.generation(first.manifest.generation.as_str()).unwrap().manifest, first.manifest);
    assert_eq!(board.generation(second.manifest.generation.as_str()).unwrap().manifest, second.manifest);
    let error = board.generation("2001-01-01T00:00:00Z").unwrap_err();
    assert!(error.to_string().starts_with("there is no generation `2001-01-01T00:00:00Z` in file:///"), "{error}");
}

#[test]
fn what_a_stranger_has_put_there_is_not_signed_unasked() {
    let scratch = Scratch::new();
    let board = directory(&scratch);
    let (ours, theirs) = (SecretKey::generate("ours").unwrap(), SecretKey::generate("theirs").unwrap());
    let says = |publisher: &Publisher<'_>| {
        let error = board.publish(Some(publisher), &put("api", "1")).unwrap_err();
        format!("{error}: {}", std::error::Error::source(&error).unwrap())
    };
    board.publish(None, &put("web", "evil")).unwrap();
    assert!(
        says(&publisher(&ours)).ends_with("cannot be built on: the manifest is not signed"),
        "{}",
        says(&publisher(&ours))
    );
    let adopts = Publisher { adopts: true, ..publisher(&theirs) };
    board.publish(Some(&adopts), &put("web", "1")).unwrap();
    assert!(says(&publisher(&ours)).ends_with("is signed by `theirs`, and by no key that is trusted"));
    let trusted = TrustedKeys::new(vec![theirs.public()]);
    board.publish(Some(&Publisher { trusted: &trusted, ..publisher(&ours) }), &put("api", "1")).unwrap();
    board.publish(Some(&publisher(&ours)), &put("api", "2")).unwrap();
}

#[test]
fn one_that_was_copied_back_by_hand_is_counted_on_from_the_newest() {
    let scratch = Scratch::new();
    let board = directory(&scratch);
    let first = board.publish(None, &put("web", "1")).unwrap().manifest;
    for revision in ["2", "3", "4"] {
        board.publish(None, &put("web", revision)).unwrap();
    }
    let old = scratch.join("bucket").join(first.generation.archive_key());
    fs_err_copy(&old, &scratch.join("bucket/manifest.json"));
    assert_eq!(board.current().unwrap().unwrap().manifest, first);
    let next = board.publish(None, &put("web", "5")).unwrap().manifest;
    assert!(next.serial >= Some(4), "{:?}", next.serial);
}

#[test]
fn after_one_was_copied_back_by_hand_nothing_is_lost_and_serials_go_on_rising() {
    let scratch = Scratch::new();
    let board = directory(&scratch);
    let publish = |revision: usize| board.publish(None, &put("web", &revision.to_string())).unwrap().manifest;
    // Faster than one in a second: their generations are ahead of the clock.
    let first = publish(1);
    let last = (2..=6).map(publish).fold(None, |_, made| Some(made)).unwrap();
    let old = scratch.join("bucket").join(first.generation.archive_key());
    fs_err_copy(&old, &scratch.join("bucket/manifest.json"));
    let latest = board.archived().unwrap().pop().unwrap();
    let after: Vec<Manifest> = (7..=9).map(publish).collect();
    assert!(after[0].generation.time() > latest.time(), "{after:?}");
    // Hosts may have seen the one that was overwritten.
    assert!(after[0].serial > last.serial && after[0].generation.time() > last.generation.time(), "{after:?}");
    let serials: Vec<Option<u64>> = after.iter().map(|manifest| manifest.serial).collect();
    assert_eq!(serials, [Some(7), Some(8), Some(9)]);
    for manifest in &after {
        assert_eq!(board.generation(manifest.generation.as_str()).unwrap().manifest, *manifest);
    }
}

#[test]
fn one_that_was_changed_by_hand_is_archived_beside_the_one_whose_name_it_has() {
    let server = S3Server::start();
    server.create_bucket("shop");
    server.honour_conditions(false);
    let scratch = Scratch::new();
    for board in [directory(&scratch), bucket(&server)] {
        let first = board.publish(None, &put("web", "1")).unwrap().manifest;
        board.publish(None, &put("web", "2")).unwrap();
        let mut changed = board.from_archive(&first.generation).unwrap().bytes;
        changed.push(b'\n');
        for _ in 0..2 {
            let key = "manifest.json";
            board.depot().put(key, &changed, Kind::Json, &Condition::None).unwrap();
            board.publish(None, &put("web", "3")).unwrap();
        }
        let archived = board.archived().unwrap();
        let kept: Vec<bool> =
            archived.iter().map(|known| board.from_archive(known).unwrap().bytes == changed).collect();
        assert_eq!(kept, [false, true], "{archived:?}");
        assert_eq!(board.from_archive(&first.generation).unwrap().manifest, first);
    }
}

#[test]
fn one_that_was_taken_away_by_hand_is_counted_on_from_the_newest() {
    let scratch = Scratch::new();
    let board = directory(&scratch);
    for revision in ["1", "2", "3"] {
        board.publish(None, &put("web", revision)).unwrap();
    }
    std::fs::remove_file(scratch.join("bucket/manifest.json")).unwrap();
    let next = board.publish(None, &put("web", "4")).unwrap().manifest;
    assert_eq!(next.serial, Some(4), "the newest in the archive is 2: what was taken away had not been archived");
}

fn fs_err_copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::copy(from, to).unwrap();
}

/// `n` publishers at once, each its own service: afterwards all services are there.
fn nobody_loses_a_change(open: impl Fn() -> Board + Sync, n: usize) {
    std::thread::scope(|scope| {
        for at in 0..n {
            let open = &open;
            scope.spawn(move || {
                let name = format!("service{at}");
                open().publish(None, &put(&name, "1")).unwrap();
                open().publish(None, &put(&name, "2")).unwrap();
            });
        }
    });
    let manifest = open().current().unwrap().unwrap().manifest;
    let mut names: Vec<&str> = manifest.services.iter().map(|s| s.name.as_str()).collect();
    names.sort_unstable();
    let expected: Vec<String> = (0..n).map(|at| format!("service{at}")).collect();
    assert_eq!(names, expected);
    assert!(manifest.services.iter().all(|s| s.revision.as_deref() == Some("2")));
    assert_eq!(manifest.serial, Some(2 * n as u64));
    assert_eq!(open().archived().unwrap().len(), 2 * n - 1);
}

#[test]
fn publishers_at_a_directory_do_not_lose_each_others_change() {
    let scratch = Scratch::new();
    nobody_loses_a_change(|| directory(&scratch), 6);
}

fn bucket(server: &S3Server) -> Board {
    bucket_with(server, S3Server::ACCESS_KEY, S3Server::SECRET_KEY)
}

fn bucket_with(server: &S3Server, key: &str, secret: &str) -> Board {
    let address = server.endpoint();
    let url = format!("s3://shop?endpoint={}&scheme=http&region=us-east-1", address.trim_start_matches("http://"));
    let mut url = DepotUrl::parse(&url).unwrap();
    if let DepotUrl::Bucket { settings, .. } = &mut url {
        settings.credentials = CredentialsSource::Keys(Keys {
            access_key_id: key.to_owned(),
            secret_access_key: freehold_model::Sensitive::new(secret.to_owned()),
            session_token: None,
        });
    }
    Board::new(Depot::at(url).unwrap())
}

#[test]
fn publishers_at_a_bucket_do_not_lose_each_others_change() {
    let server = S3Server::start();
    server.create_bucket("shop");
    nobody_loses_a_change(|| bucket(&server), 4);
}

#[test]
fn publishers_at_a_bucket_that_ignores_conditions_do_not_lose_each_others_change() {
    let server = S3Server::start();
    server.create_bucket("shop");
    server.honour_conditions(false);
    nobody_loses_a_change(|| bucket(&server), 2);
    assert!(server.objects("shop").keys().all(|key| key != "manifests/claim"));
}

/// To one who may not list, a store says the same of what is forbidden and of what is not there.
#[test]
fn one_that_was_read_before_and_is_forbidden_now_is_not_taken_for_gone() {
    let server = S3Server::start();
    server.create_bucket("shop");
    server.put_object("shop", "nix-cache-info", "StoreDir: /nix/store\n");
    let reader = bucket_with(&server, S3Server::READER_KEY, S3Server::READER_SECRET);
    assert_eq!(reader.look(None).unwrap(), Look::Nothing);
    bucket(&server).publish(None, &put("web", "1")).unwrap();
    let Look::Found(current) = reader.look(None).unwrap() else { panic!("there is one") };
    assert_eq!(reader.look(Some(&current.etag)).unwrap(), Look::Unchanged);
    server.remove_object("shop", "manifest.json");
    assert!(reader.look(Some(&current.etag)).is_err());
}

#[test]
fn what_is_no_manifest_is_not_published_over() {
    let scratch = Scratch::new();
    scratch.write("bucket/manifest.json", r#"{"version":1,"generation":"2025-01-15T12:34:56Z","servces":[]}"#);
    let board = directory(&scratch);
    let error = board.publish(None, &put("web", "1")).unwrap_err();
    assert!(error.to_string().starts_with("`manifest.json` in file:///"), "{error}");
    assert_eq!(error.hint().unwrap(), "did you mean `services`?");
}
