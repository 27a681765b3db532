//! What a host reports of itself, when, and what a place that cannot be written to does: nothing to its rounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

// Other tests use the rest of it.
mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use common::Farm;
use freehold_agent::{AgentOptions, Awaited, HostState, ReportPlace};
use freehold_model::Sensitive;
use freehold_rollout::Outcome;
use serde_json::json;

fn reporting(farm: &Farm) -> AgentOptions {
    AgentOptions { report: Some(farm.reports()), ..farm.options() }
}

#[test]
fn a_publisher_reads_from_the_report_how_it_went() {
    let farm = Farm::new();
    let good = farm.publish("web", "web-1", &json!({}));
    let awaited = |path: &str, serial| Awaited { service: "web".to_owned(), store_path: path.to_owned(), serial };
    farm.round_with(reporting(&farm)).unwrap();
    let report = farm.report().unwrap();
    assert_eq!((report.host.as_str(), report.serial, report.services[0].action), ("a", 1, Outcome::Deployed));
    assert_eq!(awaited(&good, 1).verdict("a", Some(&report)).state, HostState::Healthy);

    farm.world.broken.lock().unwrap().insert("web-2".to_owned());
    let bad = farm.publish("web", "web-2", &json!({}));
    assert_eq!(awaited(&bad, 2).verdict("a", farm.report().as_ref()).state, HostState::Waiting);
    farm.round_with(reporting(&farm)).unwrap();
    let verdict = awaited(&bad, 2).verdict("a", farm.report().as_ref());
    assert_eq!((verdict.state, verdict.action), (HostState::Failed, Some(Outcome::RolledBack)));
    assert_eq!((verdict.running, verdict.reason), (Some(good), Some("it fell over".to_owned())));
    assert_eq!(farm.report().unwrap().alerts.len(), 1);
    // The round after it: held, because it was taken back, which is no policy's doing.
    farm.round_with(reporting(&farm)).unwrap();
    let verdict = awaited(&bad, 2).verdict("a", farm.report().as_ref());
    assert_eq!((verdict.state, verdict.action), (HostState::Failed, Some(Outcome::RolledBack)));
}

#[test]
fn what_did_not_change_is_not_reported_again_and_a_manifest_that_cannot_be_followed_is() {
    let farm = Farm::new();
    farm.publish("web", "web-1", &json!({}));
    let options = AgentOptions { poll: Duration::from_millis(20), ..reporting(&farm) };
    let report = farm.scratch.join("reports/status/a.json");
    let seen = std::sync::Mutex::new(Vec::new());
    farm.run_with(options, 6, |round| {
        // The second tells that nothing happened this time; from the third on there is no news.
        if round == 3 {
            wait_until(|| farm.report().is_some_and(|report| report.services[0].action == Outcome::None));
        }
        if round >= 3 {
            seen.lock().unwrap().push(std::fs::read(&report).unwrap());
        }
    });
    let seen = seen.into_inner().unwrap();
    assert!(seen.windows(2).all(|two| two[0] == two[1]), "the same was said again");

    std::fs::write(farm.scratch.join("bucket/manifest.json"), "{").unwrap();
    farm.refusal(reporting(&farm));
    let report = farm.report().unwrap();
    assert!(report.failure.unwrap().contains("manifest.json"));
    assert_eq!(report.services.len(), 1, "what runs is told all the same");
}

#[test]
fn a_place_that_cannot_be_written_to_is_a_warning_and_no_round_fails() {
    let farm = Farm::new();
    farm.publish("web", "web-1", &json!({}));
    farm.scratch.write("file", "no directory");
    let nowhere = format!("file://{}", farm.scratch.join("file/reports").display());
    let report = Some(ReportPlace::open(&nowhere, None).unwrap());
    let round = farm.round_with(AgentOptions { report, ..farm.options() }).unwrap();
    assert!(round.is_well());
    let said = farm.said.lock().unwrap();
    assert!(said.iter().any(|line| line.starts_with("agent: the report cannot be written: ")), "{said:?}");
}

#[test]
fn a_server_gets_the_report_by_put_with_a_token() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hosts/", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            match line.trim() {
                "" => break,
                line => head.push(line.to_owned()),
            }
        }
        let length = |line: &String| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok();
        let mut body = vec![0; head.iter().find_map(length).unwrap()];
        reader.read_exact(&mut body).unwrap();
        reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
        (head, body)
    });
    let farm = Farm::new();
    farm.publish("web", "web-1", &json!({}));
    let report = Some(ReportPlace::open(&url, Some(Sensitive::new("t0ken".to_owned()))).unwrap());
    let options = AgentOptions { report, host: "a b/c".to_owned(), ..farm.options() };
    farm.round_with(options).unwrap();
    let (head, body) = server.join().unwrap();
    assert_eq!(head[0], "PUT /hosts/status/a%20b%2Fc.json HTTP/1.1");
    assert!(head.iter().any(|line| line.eq_ignore_ascii_case("authorization: Bearer t0ken")), "{head:?}");
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["format"], "freehold.host-report/1");
    let refused = ReportPlace::open("https://me:secret@example.org/", None).err().unwrap();
    assert!(refused.to_string().contains("holds a login") && !refused.to_string().contains("secret"), "{refused}");
}

fn wait_until(is_so: impl Fn() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(std::time::Instant::now() < end, "it did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}
