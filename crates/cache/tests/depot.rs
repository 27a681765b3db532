//! A depot behaves the same in a directory and in a bucket.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use freehold_cache::{CacheError, Condition, Depot, DepotUrl, Fetched, Kind};
use freehold_s3::{CredentialsSource, Keys};
use freehold_testkit::Scratch;
use freehold_testkit::s3::S3Server;

/// The depot at an address of the server, with its keys.
fn bucket(server: &S3Server, url: &str) -> Depot {
    let url = format!("{url}?endpoint={}&scheme=http", server.endpoint().trim_start_matches("http://"));
    let mut url = DepotUrl::parse(&url).unwrap();
    if let DepotUrl::Bucket { settings, .. } = &mut url {
        settings.credentials = CredentialsSource::Keys(Keys {
            access_key_id: S3Server::ACCESS_KEY.to_owned(),
            secret_access_key: freehold_model::Sensitive::new(S3Server::SECRET_KEY.to_owned()),
            session_token: None,
        });
    }
    Depot::at(url).unwrap()
}

/// In a directory, in a bucket, and under a prefix of one.
fn everywhere(check: impl Fn(&Depot)) {
    let scratch = Scratch::new();
    check(&Depot::open(&format!("file://{}", scratch.join("not/there yet").display())).unwrap());
    let server = S3Server::start();
    server.create_bucket("depot");
    check(&bucket(&server, "s3://depot/some/where"));
    let keys: Vec<String> = server.objects("depot").into_keys().collect();
    assert!(keys.iter().all(|key| key.starts_with("some/where/")), "{keys:?}");
    check(&bucket(&server, "s3://depot"));
}

#[test]
fn what_is_put_is_read_listed_and_deleted() {
    everywhere(|depot| {
        assert_eq!(depot.get("a").unwrap(), None);
        assert_eq!(depot.head("manifests/1.json").unwrap(), None);
        depot.put("a", b"one", Kind::Text, &Condition::None).unwrap();
        depot.put("manifests/1.json", b"{}", Kind::Json, &Condition::None).unwrap();
        assert_eq!(depot.get("a").unwrap().unwrap().body, b"one");
        assert_eq!(depot.head("manifests/1.json").unwrap().unwrap().size, 2);
        let keys = |prefix| {
            depot
                .list(prefix)
                .unwrap()
                .into_iter()
                .map(|l| l.key)
                .filter(|k| !k.starts_with("some/"))
                .collect::<Vec<_>>()
        };
        assert_eq!(keys(""), ["a", "manifests/1.json"]);
        assert_eq!(keys("manifests/"), ["manifests/1.json"]);
        assert_eq!(keys("manif"), ["manifests/1.json"]);
        assert!(depot.list("a").unwrap()[0].modified.is_some());
        let mut sink = Vec::new();
        assert_eq!(depot.download("a", &mut sink).unwrap(), Some(3));
        assert_eq!(sink, b"one");
        assert_eq!(depot.download("b", &mut sink).unwrap(), None);
        depot.delete("a").unwrap();
        depot.delete("a").unwrap();
        assert_eq!(depot.get("a").unwrap(), None);
        depot.delete("manifests/1.json").unwrap();
        assert!(keys("").is_empty());
    });
}

#[test]
fn an_object_is_read_again_only_when_it_changed() {
    everywhere(|depot| {
        assert_eq!(depot.get_if_changed("m", Some("\"x\"")).unwrap(), Fetched::Gone);
        let etag = depot.put("m", b"1", Kind::Json, &Condition::Absent).unwrap();
        assert_eq!(depot.get_if_changed("m", Some(&etag)).unwrap(), Fetched::NotModified);
        assert_eq!(depot.get("m").unwrap().unwrap().etag, etag);
        // The same length, at once: only a good ETag tells.
        let next = depot.put("m", b"2", Kind::Json, &Condition::Match(etag.clone())).unwrap();
        assert_ne!(next, etag);
        let Fetched::Object(object) = depot.get_if_changed("m", Some(&etag)).unwrap() else { panic!("not read") };
        assert_eq!((object.body.as_slice(), &object.etag), (b"2".as_slice(), &next));
    });
}

#[test]
fn a_condition_that_does_not_hold_changes_nothing() {
    everywhere(|depot| {
        assert!(depot.honours_conditions("").unwrap().all());
        let refused = |condition| {
            let error = depot.put("m", b"mine", Kind::Json, &condition).unwrap_err();
            assert!(error.is_precondition() && matches!(error, CacheError::PreconditionFailed { .. }), "{error}");
        };
        refused(Condition::Match("\"1\"".to_owned()));
        let etag = depot.put("m", b"theirs", Kind::Json, &Condition::Absent).unwrap();
        refused(Condition::Absent);
        let newer = depot.put("m", b"newer", Kind::Json, &Condition::Match(etag.clone())).unwrap();
        refused(Condition::Match(etag));
        assert_eq!(depot.get("m").unwrap().unwrap().body, b"newer");
        depot.put("m", b"newest", Kind::Json, &Condition::Match(newer)).unwrap();
    });
}

#[test]
fn of_many_writers_at_once_none_loses_its_change() {
    const EACH: usize = 5;
    everywhere(|depot| {
        depot.put("count", b"0", Kind::Json, &Condition::None).unwrap();
        let refused = AtomicUsize::new(0);
        let add = || {
            for _ in 0..EACH {
                loop {
                    let object = depot.get("count").unwrap().unwrap();
                    let next = String::from_utf8(object.body).unwrap().parse::<usize>().unwrap() + 1;
                    match depot.put("count", next.to_string().as_bytes(), Kind::Json, &Condition::Match(object.etag)) {
                        Ok(_) => break,
                        Err(error) => assert!(error.is_precondition(), "{error:?}"),
                    }
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(add))));
        assert_eq!(depot.get("count").unwrap().unwrap().body, (4 * EACH).to_string().as_bytes());
    });
}

#[test]
fn a_draft_appears_whole_when_it_is_done_and_leaves_nothing_otherwise() {
    everywhere(|depot| {
        let mut draft = depot.draft().unwrap();
        draft.write_all(&[7; 100_000]).unwrap();
        assert_eq!(depot.head("nar/x.nar").unwrap(), None);
        depot.commit(draft, "nar/x.nar", Kind::Nar).unwrap();
        assert_eq!(depot.head("nar/x.nar").unwrap().unwrap().size, 100_000);
        drop(depot.draft().unwrap());
        let listed = depot.list("nar/").unwrap();
        assert_eq!(listed.len(), 1, "{listed:?}");
        depot.delete("nar/x.nar").unwrap();
    });
    let scratch = Scratch::new();
    let depot = Depot::open(&format!("file://{}", scratch.path().display())).unwrap();
    let mut draft = depot.draft().unwrap();
    draft.write_all(b"half").unwrap();
    drop(draft);
    assert_eq!(std::fs::read_dir(scratch.join(".freehold-drafts")).unwrap().count(), 0);
}

#[test]
fn keys_that_would_leave_the_depot_are_refused() {
    everywhere(|depot| {
        for key in ["", "/a", "a//b", "../a", "a/../b", "a/.", ".freehold-lock", "a\nb"] {
            assert!(matches!(depot.get(key), Err(CacheError::BadKey { .. })), "{key:?}");
            assert!(depot.put(key, b"", Kind::Text, &Condition::None).is_err(), "{key:?}");
            assert!(depot.delete(key).is_err(), "{key:?}");
        }
    });
}
