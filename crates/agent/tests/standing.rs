//! Services that are as they were when they were well: they are looked at and not decided upon again, and whatever is another is
//! noticed in the very next round.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::Farm;
use freehold_agent::{Agent, Round, ServiceState};
use freehold_manifest::Edit;
use freehold_rollout::Outcome;
use freehold_runtime::Fingerprint;
use serde_json::{Value as Json, json};

/// A host on which `web` was found well often enough for the next round to know it.
struct Stand {
    farm: Farm,
    agent: Agent,
}

impl Stand {
    fn new() -> Self {
        let farm = Farm::new();
        farm.publish("web", "web-1", &json!({}));
        farm.publish("web", "web-2", &json!({"http": {"domain": "web.example.org", "internalPort": 8000}}));
        let agent = farm.open(farm.options());
        let mut stand = Self { farm, agent };
        stand.settle();
        let _lock = stand.lock();
        assert!(stand.web().is_well(), "nobody asked for the record's lock");
        assert_eq!(stand.farm.domains(), ["web.example.org"], "its route is known, too");
        stand
    }

    /// What was written just now is not relied on: rounds until everything is old enough.
    fn settle(&mut self) {
        self.round();
        let files = [self.record(), self.farm.scratch.join("state/manifest.json")];
        let end = Instant::now() + Duration::from_secs(120);
        // Files are stamped by another clock than pauses are measured by.
        while !files.iter().all(|file| Fingerprint::of(file).is_some_and(|file| file.is_settled())) {
            assert!(Instant::now() < end, "{files:?} do not become old enough");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.round();
    }

    fn round(&mut self) -> Round {
        self.agent.once().unwrap().expect("nobody stops it")
    }

    fn web(&mut self) -> ServiceState {
        self.round().services.remove(0)
    }

    fn record(&self) -> PathBuf {
        self.farm.scratch.join("state/rollouts/web.json")
    }

    /// Works on the service, which whoever wants its record has to give way to.
    fn lock(&self) -> File {
        let lock = File::open(self.farm.scratch.join("state/rollouts/web.lock")).unwrap();
        lock.lock().unwrap();
        lock
    }
}

#[test]
fn a_record_that_was_changed_from_outside_is_read_in_the_next_round() {
    let mut stand = Stand::new();
    // As whoever goes back by hand would do it: another release is the good one.
    let mut record: Json = serde_json::from_slice(&std::fs::read(stand.record()).unwrap()).unwrap();
    let good = record["lastGood"]["id"].as_str().unwrap().to_owned();
    record["lastGood"]["id"] = json!(good.replace("web-2", "web-0"));
    let new = stand.farm.scratch.write("state/rollouts/web.mine", record.to_string());
    std::fs::rename(new, stand.record()).unwrap();
    assert_eq!(stand.web().action, Outcome::Upgraded, "what is declared is not what is good");
    assert!(stand.web().is_well());
}

#[test]
fn a_record_that_was_changed_in_place_to_the_same_length_and_time_is_read_all_the_same() {
    let mut stand = Stand::new();
    let meta = std::fs::metadata(stand.record()).unwrap();
    let text = std::fs::read_to_string(stand.record()).unwrap();
    std::fs::write(stand.record(), text.replace("web-2#", "web-3#")).unwrap();
    File::options().write(true).open(stand.record()).unwrap().set_modified(meta.modified().unwrap()).unwrap();
    assert_eq!(std::fs::metadata(stand.record()).unwrap().len(), meta.len());
    let _lock = stand.lock();
    assert_eq!(stand.web().reason.as_deref(), Some("somebody else works on `web`"));
}

#[test]
fn a_record_that_was_removed_is_made_anew() {
    let mut stand = Stand::new();
    std::fs::remove_file(stand.record()).unwrap();
    assert!(stand.web().is_well());
    assert!(stand.record().exists(), "what runs was taken as the good release");
}

#[test]
fn a_manifest_that_says_something_else_is_followed_in_the_next_round() {
    let mut stand = Stand::new();
    let third = stand.farm.publish("web", "web-3", &json!({}));
    let web = stand.web();
    assert_eq!((web.action, web.running.as_deref()), (Outcome::Upgraded, Some(third.as_str())));
    stand.settle();
    // What is no part of a release counts as well: how it is looked at, where its requests come from.
    stand.farm.publish(
        "web",
        "web-3",
        &json!({"gate": {"exec": {"command": ["/bin/false"]}, "timeoutSeconds": 1, "windowSeconds": 0}}),
    );
    let web = stand.web();
    assert_eq!((web.action, web.healthy), (Outcome::Failed, false), "{:?}", web.reason);
    stand.farm.edit(|_| Ok(Edit::Restore(Vec::new())));
    assert_eq!(stand.web().action, Outcome::Stopped);
    assert_eq!(stand.farm.running("web"), 0);
}

#[test]
fn what_no_longer_runs_or_is_not_in_order_is_seen() {
    let mut stand = Stand::new();
    stand.farm.world.broken.lock().unwrap().insert("web-2".to_owned());
    let web = stand.web();
    assert_eq!((web.action, web.healthy), (Outcome::Failed, false));
    stand.farm.world.broken.lock().unwrap().clear();
    stand.settle();
    stand.farm.world.instances.lock().unwrap().clear();
    assert_eq!(stand.web().action, Outcome::Deployed, "it was started again");
    assert!(stand.web().is_well());
}

#[test]
fn an_alert_that_nobody_has_reason_for_goes() {
    let mut stand = Stand::new();
    stand.farm.scratch.write("state/alerts/web.json", "{}");
    assert!(stand.web().is_well());
    assert_eq!(stand.farm.alerts(), Vec::<String>::new());
}

#[test]
fn a_manifest_of_ones_own_that_was_changed_is_checked_again() {
    let mut stand = Stand::new();
    let kept = stand.farm.scratch.join("state/manifest.json");
    let text = std::fs::read_to_string(&kept).unwrap();
    std::fs::write(&kept, text.replace("web.example.org", "evil.example.org")).unwrap();
    let refusal = freehold_model::chain(&stand.agent.once().unwrap_err());
    assert!(refusal.contains("was changed after"), "{refusal}");
    std::fs::remove_file(&kept).unwrap();
    assert!(stand.web().is_well());
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), text, "it was fetched once more");
}
