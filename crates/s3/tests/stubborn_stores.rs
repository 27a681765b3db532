//! The client against a store that follows a script: busy, forgetful, slow, contradictory.
//!
//! What a well-behaved store does is tested against real ones; here it is what happens between the lines.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use freehold_model::{ErrorKind, Sensitive};
use freehold_s3::{Client, Condition, CredentialsSource, Fetched, Keys, Put, Retry, S3Error, Settings};

/// What the store does with the next request.
enum Act {
    /// Answers with a status, headers and a body.
    Say(u16, &'static [(&'static str, &'static str)], &'static str),
    /// Answers with the mark that the last write carried.
    SayLastMark,
    /// Takes the request and closes the connection.
    Vanish,
    /// Promises so many bytes and sends fewer.
    BreakOff(usize, &'static str),
}

#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    last_mark: String,
}

struct Store {
    client: Client,
    seen: Arc<Mutex<Seen>>,
}

impl Store {
    /// "METHOD path" of each request, without the signature.
    fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().lines.clone()
    }
}

fn store(script: Vec<Act>) -> Store {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let seen_by_server = Arc::clone(&seen);
    std::thread::spawn(move || {
        let mut script = VecDeque::from(script);
        while let Some(act) = script.pop_front() {
            let (stream, _) = listener.accept().unwrap();
            serve(stream, &act, &seen_by_server);
        }
    });
    let mut settings = Settings::new("bucket");
    settings.endpoint = Some(format!("http://{address}"));
    settings.region = Some("here".to_owned());
    settings.credentials = CredentialsSource::Keys(Keys {
        access_key_id: "AK".to_owned(),
        secret_access_key: Sensitive::new("canary".to_owned()),
        session_token: None,
    });
    settings.retry = Retry {
        attempts: 3,
        backoff: Duration::from_millis(1),
        backoff_max: Duration::from_millis(2),
        // The script has no room for an attempt that is made because the store was slow.
        silence: Duration::from_secs(120),
    };
    Store { client: Client::new(&settings).unwrap(), seen }
}

fn serve(stream: std::net::TcpStream, act: &Act, seen: &Mutex<Seen>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let (mut length, mut range) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "range" => range = format!(" {value}"),
            "x-amz-meta-freehold-write" => seen.lock().unwrap().last_mark = value.to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap());
    let path = target.split('?').next().unwrap().to_owned();
    seen.lock().unwrap().lines.push(format!("{method} {path}{range}"));
    answer(stream, act, &method, &seen.lock().unwrap().last_mark);
}

fn answer(mut stream: std::net::TcpStream, act: &Act, method: &str, mark: &str) {
    let text = match act {
        Act::Vanish => return,
        Act::Say(status, headers, body) => {
            let headers: String = headers.iter().map(|(k, v)| format!("{k}: {v}\r\n")).collect();
            let body_sent = if method == "HEAD" { "" } else { body };
            format!(
                "HTTP/1.1 {status} x\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body_sent}",
                body.len()
            )
        }
        Act::SayLastMark => format!(
            "HTTP/1.1 200 x\r\netag: \"ours\"\r\nx-amz-meta-freehold-write: {mark}\r\ncontent-length: 5\r\nconnection: close\r\n\r\n"
        ),
        Act::BreakOff(promised, body) => {
            format!("HTTP/1.1 200 x\r\netag: \"1\"\r\ncontent-length: {promised}\r\nconnection: close\r\n\r\n{body}")
        }
    };
    // The client may be gone on purpose.
    let _ = stream.write_all(text.as_bytes());
}

fn absent() -> Put {
    Put { condition: Condition::Absent, ..Put::default() }
}

fn error(code: &str) -> &'static str {
    Box::leak(format!("<Error><Code>{code}</Code><Message>because</Message></Error>").into_boxed_str())
}

#[test]
fn a_busy_store_is_asked_again() {
    let store =
        store(vec![Act::Say(503, &[], error("SlowDown")), Act::Vanish, Act::Say(200, &[("etag", "\"1\"")], "hello")]);
    let object = store.client.get("a/b c").unwrap().unwrap();
    assert_eq!((object.body.as_slice(), object.meta.etag.as_str()), (b"hello".as_slice(), "\"1\""));
    assert_eq!(store.requests(), ["GET /bucket/a/b%20c"; 3]);
}

#[test]
fn patience_ends_with_a_transient_error() {
    let store = store((0..3).map(|_| Act::Say(503, &[], error("SlowDown"))).collect());
    let error = store.client.get("a").unwrap_err();
    assert_eq!(error.to_string(), "the store could not read `a` in bucket `bucket`: status 503 SlowDown (3 attempts)");
    assert_eq!(error.kind(), ErrorKind::Transient);
}

#[test]
fn a_conditional_write_whose_answer_got_lost_is_known_again_by_its_mark() {
    let store = store(vec![Act::Vanish, Act::Say(412, &[], error("PreconditionFailed")), Act::SayLastMark]);
    assert_eq!(store.client.put("a", b"mine", &absent()).unwrap().etag, "\"ours\"");
    assert_eq!(store.requests(), ["PUT /bucket/a", "PUT /bucket/a", "HEAD /bucket/a"]);
}

#[test]
fn another_writers_object_is_not_taken_for_ours_after_a_lost_answer() {
    let store = store(vec![
        Act::Vanish,
        Act::Say(412, &[], error("PreconditionFailed")),
        Act::Say(200, &[("etag", "\"theirs\""), ("x-amz-meta-freehold-write", "theirs")], "other"),
    ]);
    assert!(store.client.put("a", b"mine", &absent()).unwrap_err().is_precondition());
}

#[test]
fn a_condition_refused_at_once_is_believed_without_another_request() {
    let store = store(vec![Act::Say(412, &[], error("PreconditionFailed"))]);
    let error = store.client.put("a", b"mine", &absent()).unwrap_err();
    assert_eq!(error.to_string(), "`a` in bucket `bucket` is not as expected: someone else wrote it");
    assert_eq!(store.requests().len(), 1);
}

#[test]
fn a_conflict_of_two_conditional_writes_is_asked_again_until_decided() {
    let store =
        store(vec![Act::Say(409, &[], error("ConditionalRequestConflict")), Act::Say(200, &[("etag", "\"1\"")], "")]);
    assert_eq!(store.client.put("a", b"mine", &absent()).unwrap().etag, "\"1\"");
}

#[test]
fn matching_a_vanished_object_is_a_failed_condition() {
    let store = store(vec![Act::Say(404, &[], error("NoSuchKey"))]);
    let put = Put { condition: Condition::Match("\"1\"".to_owned()), ..Put::default() };
    assert!(store.client.put("a", b"mine", &put).unwrap_err().is_precondition());
}

#[test]
fn a_download_that_breaks_off_is_taken_up_where_it_broke() {
    let store = store(vec![Act::BreakOff(11, "hello"), Act::Say(206, &[("etag", "\"1\"")], " world")]);
    let mut sink = Vec::new();
    let meta = store.client.download("a", &mut sink).unwrap().unwrap();
    assert_eq!((sink.as_slice(), meta.size), (b"hello world".as_slice(), 11));
    assert_eq!(store.requests(), ["GET /bucket/a", "GET /bucket/a bytes=5-"]);
}

#[test]
fn a_download_of_an_object_that_changes_underway_fails() {
    let store = store(vec![Act::BreakOff(11, "hello"), Act::Say(412, &[], error("PreconditionFailed"))]);
    let error = store.client.get("a").unwrap_err();
    assert_eq!(error.to_string(), "`a` changed while it was being read");
    assert_eq!(error.kind(), ErrorKind::Transient);
}

#[test]
fn an_unchanged_object_is_not_sent_again() {
    let store = store(vec![Act::Say(304, &[("etag", "\"1\"")], ""), Act::Say(404, &[], error("NoSuchKey"))]);
    assert_eq!(store.client.get_if_changed("a", Some("\"1\"")).unwrap(), Fetched::NotModified);
    assert_eq!(store.client.get_if_changed("a", Some("\"1\"")).unwrap(), Fetched::Gone);
}

#[test]
fn refusals_say_who_has_to_act_and_how() {
    type Headers = &'static [(&'static str, &'static str)];
    let cases: [(u16, Headers, &str, &str, ErrorKind, &str); 6] = [
        (404, &[], "NoSuchBucket", "there is no bucket `bucket` at `http://", ErrorKind::Config, "create the bucket"),
        (
            403,
            &[],
            "AccessDenied",
            "not allowed to read `a` in bucket `bucket`: because",
            ErrorKind::Config,
            "policy of the key",
        ),
        (
            403,
            &[],
            "SignatureDoesNotMatch",
            "the store refuses the credentials for read `a`",
            ErrorKind::Config,
            "its secret",
        ),
        (403, &[], "RequestTimeTooSkewed", "the clocks differ too much", ErrorKind::Host, "set this machine's clock"),
        (
            301,
            &[("x-amz-bucket-region", "there")],
            "PermanentRedirect",
            "bucket `bucket` is in region `there`, not in `here`",
            ErrorKind::Config,
            "set `region = \"there\"`",
        ),
        (
            418,
            &[],
            "Teapot",
            "the store refuses to read `a` in bucket `bucket`: status 418 Teapot: because",
            ErrorKind::Config,
            "",
        ),
    ];
    for (status, headers, code, message, kind, hint) in cases {
        let store = store(vec![Act::Say(status, headers, error(code))]);
        let error = store.client.get("a").unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{:?}", error.hint());
    }
}

#[test]
fn nobody_there_is_said_with_the_address() {
    // Nobody listens there, and nobody is given it: one that was free a moment ago may be another test's by now.
    let gone = "127.0.0.1:1";
    let mut settings = Settings::new("bucket");
    settings.endpoint = Some(format!("http://{gone}"));
    settings.credentials = CredentialsSource::Anonymous;
    settings.retry.attempts = 2;
    settings.retry.backoff = Duration::from_millis(1);
    let error = Client::new(&settings).unwrap().get("a").unwrap_err();
    assert_eq!(error.to_string(), format!("cannot reach `http://{gone}` to read `a` in bucket `bucket` (2 attempts)"));
    assert_eq!(error.kind(), ErrorKind::Transient);
}

#[test]
fn a_store_that_falls_silent_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = Settings::new("bucket");
    settings.endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
    settings.credentials = CredentialsSource::Anonymous;
    settings.retry = Retry { attempts: 1, silence: Duration::from_millis(100), ..Retry::default() };
    let error = Client::new(&settings).unwrap().get("a").unwrap_err();
    assert!(matches!(error, S3Error::Lost { .. }), "{error:?}");
}

#[test]
fn keys_that_an_address_cannot_carry_are_refused_before_anything_is_sent() {
    let store = store(Vec::new());
    for key in ["", "a/../b", ".", "a/."] {
        assert!(store.client.get(key).unwrap_err().to_string().contains("is not usable"), "{key}");
    }
}

#[test]
fn errors_show_neither_secret_nor_signature() {
    let store = store(vec![Act::Vanish, Act::Vanish, Act::Vanish]);
    let error = store.client.get("a").unwrap_err();
    let shown = format!("{error} {error:?} {:?}", store.client);
    assert!(!shown.contains("canary") && !shown.contains("X-Amz-Signature"), "{shown}");
}
