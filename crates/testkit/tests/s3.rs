//! The in-process S3 server, asked by a client that is not ours.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

use std::time::Duration;

use freehold_testkit::s3::{Fault, S3Server};
use rusty_s3::{Bucket, Credentials, S3Action as _, UrlStyle};

const VALID: Duration = Duration::from_secs(60);

/// Status and body; `None` when the connection broke.
type Answer = Option<(u16, String)>;

struct Client {
    bucket: Bucket,
    keys: Credentials,
}

impl Client {
    fn new(server: &S3Server) -> Self {
        let endpoint = url::Url::parse(&server.endpoint()).unwrap();
        let bucket = Bucket::new(endpoint, UrlStyle::Path, "things", "us-east-1").unwrap();
        Self { bucket, keys: Credentials::new(S3Server::ACCESS_KEY, S3Server::SECRET_KEY) }
    }

    fn put(&self, key: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        let url = self.bucket.put_object(Some(&self.keys), key).sign(VALID);
        let request =
            headers.iter().fold(agent().put(url.as_str()), |request, (name, value)| request.header(*name, *value));
        answer(request.send(body))
    }

    fn get(&self, key: &str) -> Answer {
        answer(agent().get(self.bucket.get_object(Some(&self.keys), key).sign(VALID).as_str()).call())
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).max_idle_connections(0).build().into()
}

fn answer(result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    let mut response = result.ok()?;
    Some((response.status().as_u16(), response.body_mut().read_to_string().unwrap()))
}

fn status(answer: Answer) -> u16 {
    answer.map_or(0, |(status, _)| status)
}

fn started() -> (S3Server, Client) {
    let server = S3Server::start();
    server.create_bucket("things");
    let client = Client::new(&server);
    (server, client)
}

#[test]
fn what_was_written_is_read_back() {
    let (server, client) = started();
    assert_eq!(status(client.put("a/b", "text", &[])), 200);
    assert_eq!(client.get("a/b"), Some((200, "text".to_owned())));
    assert_eq!(status(client.get("a/c")), 404);
    assert_eq!(server.objects("things").get("a/b").map(Vec::as_slice), Some("text".as_bytes()));
    assert_eq!((server.count("PUT"), server.count("GET"), server.count("")), (1, 2, 3));
}

#[test]
fn a_wrong_secret_key_is_refused() {
    let (_server, mut client) = started();
    client.keys = Credentials::new(S3Server::ACCESS_KEY, "guess");
    assert_eq!(status(client.put("a", "text", &[])), 403);
}

#[test]
fn conditions_are_honoured_unless_told_otherwise() {
    let (server, client) = started();
    let absent = [("if-none-match", "*")];
    assert_eq!(status(client.put("a", "1", &absent)), 200);
    assert_eq!(status(client.put("a", "2", &absent)), 412);
    assert_eq!(status(client.put("a", "2", &[("if-match", "\"c4ca4238a0b923820dcc509a6f75849b\"")])), 200);
    assert_eq!(status(client.put("a", "3", &[("if-match", "\"c4ca4238a0b923820dcc509a6f75849b\"")])), 412);
    assert_eq!(status(client.put("b", "3", &[("if-match", "\"c4ca4238a0b923820dcc509a6f75849b\"")])), 404);
    server.honour_conditions(false);
    assert_eq!(status(client.put("a", "3", &absent)), 200);
    assert_eq!(client.get("a"), Some((200, "3".to_owned())));
}

#[test]
fn of_many_writers_with_the_same_condition_one_wins() {
    let (_server, client) = started();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let writers: Vec<_> =
            (0..8).map(|_| scope.spawn(|| status(client.put("lock", "mine", &[("if-none-match", "*")])))).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 7, "{statuses:?}");
}

#[test]
fn faults_come_before_or_after_the_effect_and_run_out() {
    let (server, client) = started();
    let cases = [
        (Fault::Unavailable, 503, false),
        (Fault::SlowDown, 503, false),
        (Fault::ErrorAfterEffect, 500, true),
        (Fault::LostRequest, 0, false),
        (Fault::LostReply, 0, true),
    ];
    for (number, (fault, expected, executed)) in cases.into_iter().enumerate() {
        let key = format!("key-{number}");
        server.inject(fault, "PUT", &key, 1);
        assert_eq!(status(client.put(&key, "text", &[])), expected, "{fault:?}");
        assert_eq!(server.objects("things").contains_key(&key), executed, "{fault:?}");
        assert_eq!(status(client.put(&key, "text", &[])), 200, "{fault:?} should have run out");
    }
}

#[test]
fn a_server_that_stands_still_executes_nothing_until_it_goes_on() {
    let (server, client) = started();
    server.hold_from("PUT", "/b", 2);
    assert_eq!(status(client.put("b1", "text", &[])), 200);
    assert_eq!(status(client.put("a", "text", &[])), 200);
    std::thread::scope(|scope| {
        let held = scope.spawn(|| client.put("b2", "text", &[]));
        while server.count("PUT") < 3 {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(!held.is_finished());
        server.let_go();
        assert_eq!(held.join().unwrap(), None);
    });
    assert!(!server.objects("things").contains_key("b2"));
    assert_eq!(status(client.put("b2", "text", &[])), 200);
}

#[test]
fn listings_come_in_pages_and_by_folder() {
    let (server, client) = started();
    for key in ["a/1", "a/2", "b", "c/1", "d"] {
        server.put_object("things", key, "x");
    }
    let list = |delimiter: Option<&str>, token: Option<&str>| {
        let mut action = client.bucket.list_objects_v2(Some(&client.keys));
        action.with_max_keys(2);
        if let Some(delimiter) = delimiter {
            action.with_delimiter(delimiter);
        }
        if let Some(token) = token {
            action.with_continuation_token(token);
        }
        let (status, body) = answer(agent().get(action.sign(VALID).as_str()).call()).unwrap();
        assert_eq!(status, 200, "{body}");
        rusty_s3::actions::ListObjectsV2::parse_response(&body).unwrap()
    };
    let keys = |delimiter| {
        let (mut names, mut token) = (Vec::new(), None);
        loop {
            let page = list(delimiter, token.as_deref());
            names.extend(page.common_prefixes.into_iter().map(|folder| folder.prefix));
            names.extend(page.contents.into_iter().map(|object| object.key));
            token = page.next_continuation_token;
            if token.is_none() {
                names.sort();
                return names;
            }
        }
    };
    assert_eq!(keys(None), ["a/1", "a/2", "b", "c/1", "d"]);
    assert_eq!(keys(Some("/")), ["a/", "b", "c/", "d"]);
}

#[test]
fn a_large_object_comes_in_parts() {
    let (server, client) = started();
    let start = client.bucket.create_multipart_upload(Some(&client.keys), "big").sign(VALID);
    let (_, body) = answer(agent().post(start.as_str()).send_empty()).unwrap();
    let started = rusty_s3::actions::CreateMultipartUpload::parse_response(&body).unwrap();
    let upload = started.upload_id();
    let tags: Vec<String> = (1..=2)
        .map(|number| {
            let url = client.bucket.upload_part(Some(&client.keys), "big", number, upload).sign(VALID);
            let response = agent().put(url.as_str()).send("x".repeat(100)).unwrap();
            response.headers()["etag"].to_str().unwrap().to_owned()
        })
        .collect();
    let action =
        client.bucket.complete_multipart_upload(Some(&client.keys), "big", upload, tags.iter().map(String::as_str));
    let url = action.sign(VALID);
    let (status, body) = answer(agent().post(url.as_str()).send(action.body())).unwrap();
    assert_eq!(status, 200, "{body}");
    assert_eq!(server.objects("things")["big"].len(), 200);
}

#[test]
fn the_port_is_closed_once_the_server_is_dropped() {
    let (server, client) = started();
    assert_eq!(status(client.put("a", "text", &[])), 200);
    drop(server);
    assert_eq!(client.put("a", "text", &[]), None);
}

#[test]
fn a_reader_may_read_what_is_there_and_is_told_nothing_else() {
    let (server, client) = started();
    server.put_object("things", "text", "hello");
    let reader = Client { keys: Credentials::new(S3Server::READER_KEY, S3Server::READER_SECRET), ..client };
    assert_eq!(reader.get("text"), Some((200, "hello".to_owned())));
    assert_eq!((status(reader.get("nothing")), status(reader.put("text", "bye", &[]))), (403, 403));
    let list = reader.bucket.list_objects_v2(Some(&reader.keys)).sign(VALID);
    assert_eq!(status(answer(agent().get(list.as_str()).call())), 403);
}
