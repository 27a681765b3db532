//! The same story on every store at hand: the in-process server, and MinIO where it was built.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

use std::time::Duration;

use freehold_model::Sensitive;
use freehold_s3::{Client, Condition, CredentialsSource, Fetched, Keys, Put, Retry, S3Error, Settings};
use freehold_testkit::s3::{Fault, S3Server};
use freehold_testkit::{Minio, Scratch};

fn client(endpoint: &str, access_key: &str, secret: &str, bucket: &str, retry: Retry) -> Client {
    let mut settings = Settings::new(bucket);
    settings.endpoint = Some(endpoint.to_owned());
    settings.region = Some("us-east-1".to_owned());
    settings.credentials = CredentialsSource::Keys(Keys {
        access_key_id: access_key.to_owned(),
        secret_access_key: Sensitive::new(secret.to_owned()),
        session_token: None,
    });
    settings.retry = retry;
    Client::new(&settings).unwrap()
}

fn in_process(server: &S3Server, bucket: &str) -> Client {
    let quick = Retry { backoff: Duration::from_millis(2), ..Retry::default() };
    client(&server.endpoint(), S3Server::ACCESS_KEY, S3Server::SECRET_KEY, bucket, quick)
}

/// Runs a story on the in-process server and on MinIO.
fn on_each_store(story: impl Fn(&Client)) {
    let server = S3Server::start();
    story(&in_process(&server, "story"));
    if let Some(minio) = Minio::start() {
        // It says that it is ready a moment before it is: patience as in use.
        story(&client(&minio.endpoint(), Minio::ACCESS_KEY, Minio::SECRET_KEY, "story", Retry::default()));
    }
}

fn when(condition: Condition) -> Put {
    Put { condition, ..Put::default() }
}

#[test]
fn an_object_is_written_read_described_and_deleted() {
    on_each_store(|client| {
        assert!(!client.bucket_exists().unwrap());
        assert!(client.create_bucket().unwrap());
        assert!(!client.create_bucket().unwrap(), "the second time it is ours already");

        assert_eq!(client.get("no").unwrap(), None);
        assert_eq!(client.head("no").unwrap(), None);
        for key in ["plain", "with space/ünïcode+plus&amp=%25.txt"] {
            let put = Put {
                content_type: Some("text/plain".to_owned()),
                metadata: [("color".to_owned(), "dark blue".to_owned())].into(),
                ..when(Condition::Absent)
            };
            let written = client.put(key, key.as_bytes(), &put).unwrap();
            let object = client.get(key).unwrap().unwrap();
            assert_eq!(object.body, key.as_bytes());
            assert_eq!(object.meta.etag, written.etag);
            assert_eq!(object.meta.content_type.as_deref(), Some("text/plain"));
            assert_eq!(object.meta.metadata, put.metadata, "and no mark of ours");
            assert_eq!(client.head(key).unwrap().unwrap().size, key.len() as u64);
            assert_eq!(client.get_if_changed(key, Some(&written.etag)).unwrap(), Fetched::NotModified);
            client.delete(key).unwrap();
            client.delete(key).unwrap();
            assert_eq!(client.get(key).unwrap(), None);
        }
        client.put("empty", b"", &Put::default()).unwrap();
        assert_eq!(client.get("empty").unwrap().unwrap().body, b"");

        assert!(matches!(client.delete_bucket().unwrap_err(), S3Error::BucketNotEmpty { .. }));
        client.delete("empty").unwrap();
        client.delete_bucket().unwrap();
        client.delete_bucket().unwrap();
        assert!(matches!(client.get("no").unwrap_err(), S3Error::NoSuchBucket { .. }));
    });
}

#[test]
fn of_two_conditional_writers_one_is_refused() {
    on_each_store(|client| {
        client.create_bucket().unwrap();
        let first = client.put("log", b"1", &when(Condition::Absent)).unwrap();
        assert!(client.put("log", b"2", &when(Condition::Absent)).unwrap_err().is_precondition());
        let second = client.put("log", b"2", &when(Condition::Match(first.etag.clone()))).unwrap();
        assert!(client.put("log", b"3", &when(Condition::Match(first.etag))).unwrap_err().is_precondition());
        assert_eq!(client.get("log").unwrap().unwrap().body, b"2");
        client.delete("log").unwrap();
        assert!(client.put("log", b"4", &when(Condition::Match(second.etag))).unwrap_err().is_precondition());
    });
}

#[test]
fn of_many_threads_exactly_one_creates_the_object() {
    on_each_store(|client| {
        client.create_bucket().unwrap();
        let wins: usize = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8)
                .map(|i| scope.spawn(move || client.put("lock", format!("{i}").as_bytes(), &when(Condition::Absent))))
                .collect();
            writers.into_iter().map(|w| usize::from(w.join().unwrap().is_ok())).sum()
        });
        assert_eq!(wins, 1);
    });
}

#[test]
fn a_listing_goes_beyond_one_page_and_keeps_odd_keys() {
    on_each_store(|client| {
        client.create_bucket().unwrap();
        let mut keys: Vec<String> = (0..1100).map(|i| format!("many/{i:04}")).collect();
        keys.push("many/with space+ünïcode&<x>".to_owned());
        std::thread::scope(|scope| {
            for chunk in keys.chunks(150) {
                scope.spawn(move || chunk.iter().for_each(|key| drop(client.put(key, b"x", &Put::default()).unwrap())));
            }
        });
        client.put("other", b"x", &Put::default()).unwrap();
        let listed: Vec<String> = client.list_all("many/").unwrap().into_iter().map(|l| l.key).collect();
        assert_eq!(listed, keys);
        let mut few = 0;
        client
            .list("", &mut |_| {
                few += 1;
                few < 3
            })
            .unwrap();
        assert_eq!(few, 3, "a listing stops when told");
    });
}

#[test]
fn a_file_in_parts_arrives_whole_and_conditions_hold_for_it() {
    on_each_store(|client| {
        client.create_bucket().unwrap();
        let scratch = Scratch::new();
        let bytes: Vec<u8> = (0..11_000_003_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let path = scratch.write("big", &bytes);
        let parts = 5 * 1024 * 1024;
        let put = Put { content_type: Some("application/x-nar".to_owned()), ..when(Condition::Absent) };
        let written = client.put_file_in_parts("big", &path, &put, parts, parts).unwrap();
        let mut sink = Vec::new();
        let meta = client.download("big", &mut sink).unwrap().unwrap();
        assert!(sink == bytes, "{} of {} bytes", sink.len(), bytes.len());
        assert_eq!(meta.etag, written.etag);
        assert_eq!(meta.content_type.as_deref(), Some("application/x-nar"));
        client.put_file("small", &scratch.write("small", "small"), &Put::default()).unwrap();
        assert_eq!(client.get("small").unwrap().unwrap().body, b"small");
    });
}

#[test]
fn a_store_that_ignores_conditions_is_found_out_and_the_probe_leaves_nothing() {
    on_each_store(|client| {
        client.create_bucket().unwrap();
        assert!(client.honours_conditions("state/").unwrap().all());
        assert_eq!(client.list_all("").unwrap(), []);
    });
    let server = S3Server::start();
    server.create_bucket("story");
    server.honour_conditions(false);
    let client = in_process(&server, "story");
    let found = client.honours_conditions("state/").unwrap();
    assert!(!found.if_absent && !found.if_match);
    assert_eq!(client.list_all("").unwrap(), []);
    let asked = server.count("");
    assert_eq!(client.clone().honours_conditions("state/").unwrap(), found);
    assert_eq!(server.count(""), asked, "it is asked once");
}

#[test]
fn a_write_whose_answer_is_lost_succeeds_once() {
    let server = S3Server::start();
    server.create_bucket("story");
    let client = in_process(&server, "story");
    for fault in [Fault::LostReply, Fault::ErrorAfterEffect, Fault::LostRequest, Fault::SlowDown] {
        server.inject(fault, "PUT", "/story/log", 1);
        let written = client.put("log", b"mine", &when(Condition::Absent)).unwrap();
        assert_eq!(client.head("log").unwrap().unwrap().etag, written.etag, "{fault:?}");
        client.delete("log").unwrap();
    }
}

#[test]
fn a_wrong_key_is_refused_without_trying_again() {
    let server = S3Server::start();
    server.create_bucket("story");
    let stranger = client(&server.endpoint(), S3Server::ACCESS_KEY, "wrong", "story", Retry::default());
    let error = stranger.get("a").unwrap_err();
    assert!(matches!(error, S3Error::BadCredentials { .. }), "{error}");
    assert_eq!(server.count("GET"), 1);
}
