//! Rounds of an agent: whom it follows, what it alerts about, what it keeps. How a rollout goes is tested with its machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::time::Duration;

use common::Farm;
use freehold_agent::Trust;
use freehold_manifest::Edit;
use freehold_nar::{SecretKey, TrustedKeys};
use freehold_rollout::{Outcome, Strategy};
use serde_json::json;

#[test]
fn a_key_that_is_no_longer_trusted_is_not_followed_though_nothing_was_published_since() {
    let farm = Farm::new();
    farm.publish("web", "web-1", &json!({}));
    assert_eq!(farm.round().services[0].action, Outcome::Deployed);
    let mut options = farm.options();
    options.trusted = TrustedKeys::new(vec![SecretKey::generate("other").unwrap().public()]);
    assert!(farm.refusal(options).contains("signed by `k`, and by no key that is trusted"));
}

#[test]
fn an_older_manifest_that_was_allowed_once_is_followed_from_then_on() {
    let farm = Farm::new();
    let old = farm.publish("web", "web-1", &json!({}));
    let bucket = farm.scratch.join("bucket/manifest.json");
    let kept = std::fs::read(&bucket).unwrap();
    farm.publish("web", "web-2", &json!({}));
    farm.round();
    std::fs::write(&bucket, kept).unwrap();
    assert_eq!(farm.refusal(farm.options()), "the manifest has serial 1, and 2 was seen before");
    let mut options = farm.options();
    options.trust = Trust { unsigned: false, rollback: true };
    assert_eq!(farm.round_with(options).unwrap().services[0].running.as_deref(), Some(old.as_str()));
    assert!(farm.round().is_well());
}

#[test]
fn an_agent_whose_memory_is_damaged_still_refuses_what_is_older() {
    let farm = Farm::new();
    farm.publish("web", "web-1", &json!({}));
    let bucket = farm.scratch.join("bucket/manifest.json");
    let old = std::fs::read(&bucket).unwrap();
    farm.publish("web", "web-2", &json!({}));
    farm.round();
    std::fs::write(&bucket, old).unwrap();
    farm.scratch.write("state/state.json", "{\"format\": \"free");
    assert_eq!(farm.refusal(farm.options()), "the manifest has serial 1, and 2 was seen before");
}

#[test]
fn a_service_that_cannot_be_decided_on_alerts_until_it_can() {
    let farm = Farm::new();
    farm.publish("web", "web-1", &json!({"runtime": "nomad"}));
    farm.publish("well", "well-1", &json!({}));
    let round = farm.round();
    assert_eq!(round.services[0].reason.as_deref(), Some("this host has no runtime `nomad`"));
    assert_eq!(round.services[0].alert.as_ref().map(|alert| alert.count), Some(1));
    assert!(round.services[1].is_well(), "one bad service is in nobody's way");
    assert_eq!(farm.alerts(), ["web.json"]);
    assert_eq!(farm.round().services[0].alert.as_ref().map(|alert| alert.count), Some(2));
    farm.publish("web", "web-1", &json!({"runtime": "process"}));
    assert!(farm.round().is_well());
    assert_eq!(farm.alerts(), Vec::<String>::new());
}

#[test]
fn what_runs_is_healthy_though_what_is_declared_after_it_cannot_even_be_prepared() {
    let farm = Farm::new();
    let path = farm.publish("web", "web-1", &json!({}));
    farm.round();
    for fields in [json!({"runtime": "nomad"}), json!({"runtime": "process", "exec": {"command": "unprepared"}})] {
        farm.publish("web", "web-2", &fields);
        let web = farm.round().services.remove(0);
        assert_eq!((web.action, web.healthy, web.running.as_deref()), (Outcome::Failed, true, Some(path.as_str())));
        assert!(!web.is_well());
    }
    farm.world.broken.lock().unwrap().insert("web-1".to_owned());
    assert!(!farm.round().services[0].healthy);
}

#[test]
fn a_manifest_that_cannot_be_read_alerts_when_it_lasts() {
    let farm = Farm::new();
    farm.publish("web", "web-1", &json!({}));
    farm.round();
    let (bucket, away) = (farm.scratch.join("bucket/manifest.json"), farm.scratch.join("away"));
    std::fs::rename(&bucket, &away).unwrap();
    let seen: Vec<usize> = (0..4)
        .map(|_| {
            farm.round_with(farm.options()).unwrap_err();
            farm.alerts().len()
        })
        .collect();
    assert_eq!(seen, [0, 0, 1, 1]);
    assert_eq!(farm.alerts(), ["@manifest.json"]);
    std::fs::rename(&away, &bucket).unwrap();
    farm.round();
    assert_eq!(farm.alerts(), Vec::<String>::new());
}

#[test]
fn a_damaged_record_costs_no_route() {
    let farm = Farm::new();
    farm.publish("api", "api-1", &json!({"http": {"domain": "api.example.org", "internalPort": 81}}));
    farm.publish("web", "web-1", &json!({"http": {"domain": "web.example.org", "internalPort": 80}}));
    assert!(farm.round().is_well());
    farm.scratch.write("state/rollouts/web.json", "{");
    let round = farm.round();
    assert_eq!((round.services[1].action, round.problems.len()), (Outcome::Failed, 0));
    let reason = round.services[1].reason.as_deref().unwrap();
    assert!(reason.contains("at `its beginning`") && reason.contains("move it away"), "{reason}");
    let routes: Vec<(String, u16)> =
        farm.world.routes.lock().unwrap().iter().map(|route| (route.service.clone(), route.port)).collect();
    assert_eq!(routes, [("api".to_owned(), 81), ("web".to_owned(), 80)]);
}

#[test]
fn routes_that_cannot_be_set_alert_and_stop_nothing() {
    let farm = Farm::new();
    farm.publish("web", "web-1", &json!({"http": {"domain": "web.example.org", "internalPort": 80}}));
    *farm.world.router_is_away.lock().unwrap() = true;
    let round = farm.round();
    assert_eq!(round.problems, ["routes cannot be set: nobody answers"]);
    assert!(round.services[0].is_well());
    assert_eq!(farm.alerts(), ["@routes.json"]);
    *farm.world.router_is_away.lock().unwrap() = false;
    assert_eq!(farm.round().problems, Vec::<String>::new());
    assert_eq!(farm.alerts(), Vec::<String>::new());
}

#[test]
fn while_the_router_is_away_a_first_release_of_two_instances_runs_and_a_later_one_waits_beside_a_healthy_one() {
    let farm = Farm::new();
    let two = json!({"http": {"domain": "web.example.org", "internalPort": 80}, "instances": "blue-green"});
    let path = farm.publish("web", "web-1", &two);
    *farm.world.router_is_away.lock().unwrap() = true;
    let round = farm.round();
    assert_eq!((round.services[0].action, round.is_well()), (Outcome::Deployed, true));
    assert_eq!(farm.alerts(), ["@routes.json"]);
    farm.publish("web", "web-2", &json!({}));
    let web = farm.round().services.remove(0);
    assert_eq!((web.healthy, web.running.as_deref()), (true, Some(path.as_str())), "{web:?}");
    *farm.world.router_is_away.lock().unwrap() = false;
    farm.round();
    let round = farm.round();
    assert!(round.is_well(), "{round:?}");
    assert_ne!(round.services[0].running.as_deref(), Some(path.as_str()));
}

#[test]
fn a_route_that_cannot_be_made_is_named_and_all_others_are_set() {
    let farm = Farm::new();
    farm.publish("bad", "bad-1", &json!({"http": {"domain": "bad.example.org", "internalPort": 81}}));
    farm.publish("web", "web-1", &json!({"http": {"domain": "web.example.org", "internalPort": 80}}));
    farm.world.unroutable.lock().unwrap().insert("bad".to_owned());
    let round = farm.round();
    assert_eq!(round.problems, ["routes cannot be set: `bad` is odd; all others are set"]);
    assert_eq!((farm.domains(), farm.alerts()), (vec!["web.example.org".to_owned()], vec!["@routes.json".to_owned()]));
    // The others of a router that knows nothing any more, too.
    farm.world.routes.lock().unwrap().clear();
    farm.round();
    assert_eq!(farm.domains(), ["web.example.org"]);
}

#[test]
fn what_was_taken_back_is_not_kept_in_the_store_and_what_is_kept_is_as_many_as_was_said() {
    let farm = Farm::new();
    farm.publish("web", "web-0", &json!({"keepReleases": 2}));
    farm.round();
    farm.world.broken.lock().unwrap().insert("bad".to_owned());
    farm.publish("web", "bad-1", &json!({}));
    assert_eq!(farm.round().services[0].action, Outcome::RolledBack);
    assert_eq!(farm.roots("web").len(), 1, "{:?}", farm.roots("web"));
    for version in 1..5 {
        farm.publish("web", &format!("web-{version}"), &json!({}));
        assert!(farm.round().is_well());
    }
    let kept = farm.roots("web").iter().map(|name| name[33..].to_owned()).collect::<Vec<_>>();
    assert_eq!(kept.len(), 2, "{kept:?}");
    let profile = farm.nix.state_dir().join("profiles/freehold");
    let values = std::fs::read_dir(profile).unwrap().count() - 1;
    assert_eq!(values, 2);
    farm.edit(|_| Ok(Edit::Remove("web".to_owned())));
    farm.round();
    assert_eq!(farm.roots("web"), Vec::<String>::new());
}

#[test]
fn what_keeps_a_closure_in_the_store_is_made_again_when_others_took_it_away() {
    let farm = Farm::new();
    farm.publish("web", "web-1", &json!({}));
    farm.round();
    farm.publish("web", "web-2", &json!({}));
    farm.round();
    let (roots, profiles) = (farm.roots("web"), farm.nix.state_dir().join("profiles/freehold"));
    assert_eq!(roots.len(), 2);
    std::fs::remove_dir_all(farm.nix.state_dir().join("gcroots/freehold/web")).unwrap();
    std::fs::remove_dir_all(&profiles).unwrap();
    let round = farm.round();
    assert_eq!((round.services[0].action, round.problems), (Outcome::None, Vec::new()));
    assert_eq!(farm.roots("web"), roots);
    assert_eq!(farm.profile("web"), round.services[0].running);
}

#[test]
fn a_profile_that_was_rolled_back_by_hand_is_told_until_it_leads_to_what_runs() {
    let farm = Farm::new();
    let old = farm.publish("web", "web-1", &json!({}));
    farm.round();
    let new = farm.publish("web", "web-2", &json!({}));
    farm.round();
    let profile = farm.nix.state_dir().join("profiles/freehold/web");
    let turn = |how: &str| {
        let status = farm.nix.command("nix-env").arg("--profile").arg(&profile).args(how.split(' ')).status();
        assert!(status.unwrap().success());
    };
    turn("--rollback");
    let round = farm.round();
    let told = format!("the profile of service `web` leads to `{old}`, and `{new}` runs");
    assert!(round.problems[0].starts_with(&told), "{:?}", round.problems);
    assert!(round.is_well(), "what runs is not touched");
    assert_eq!(farm.alerts(), ["@profiles.json"]);
    turn("--switch-generation 2");
    assert_eq!((farm.round().problems, farm.alerts()), (Vec::new(), Vec::new()));
}

#[test]
fn of_two_instances_the_good_one_is_what_runs() {
    let farm = Farm::new();
    let path = farm.publish("web", "web-1", &json!({}));
    farm.round();
    let good = farm.world.instances.lock().unwrap()["web"][0].clone();
    let mut payload = good.payload().clone();
    payload["env"] = json!({"A": "1"});
    let other = freehold_rollout::Release::new("other#1", payload).unwrap();
    farm.world.instances.lock().unwrap().insert("web".to_owned(), vec![other, good]);
    farm.world.strategies.lock().unwrap().clear();
    let round = farm.round();
    assert_eq!((round.services[0].action, round.services[0].running.as_deref()), (Outcome::None, Some(path.as_str())));
    assert_eq!(*farm.world.strategies.lock().unwrap(), Vec::<Strategy>::new());
}

#[test]
fn what_was_stopped_because_nothing_is_published_stays_stopped_when_the_bucket_is_away() {
    let farm = Farm::new();
    farm.publish("web", "web-1", &json!({}));
    farm.round();
    let mut options = farm.options();
    options.trust = Trust { unsigned: false, rollback: true };
    std::fs::remove_file(farm.scratch.join("bucket/manifest.json")).unwrap();
    assert_eq!(farm.round_with(options.clone()).unwrap().services[0].action, Outcome::Stopped);
    farm.scratch.write("bucket/manifest.json", "{");
    let rounds = farm.run(options, 1);
    assert_eq!((rounds, farm.running("web")), (vec![Err("the manifest cannot be read".to_owned())], 0));
}

#[test]
fn while_the_bucket_is_away_what_is_known_is_kept_running() {
    let farm = Farm::new();
    farm.publish("web", "web-1", &json!({}));
    farm.round();
    farm.scratch.write("bucket/manifest.json", "{");
    farm.world.instances.lock().unwrap().clear();
    farm.run(farm.options(), 2);
    assert_eq!(farm.running("web"), 1);
}

#[test]
fn an_interrupted_rollout_is_finished_before_what_cannot_run_here_is_refused() {
    let farm = Farm::new();
    farm.publish("web", "web-1", &json!({}));
    farm.round();
    let path = farm.publish("web", "web-2", &json!({}));
    let record = farm.scratch.join("state/rollouts/web.json");
    let before = std::fs::read_to_string(&record).unwrap();
    assert!(farm.round().is_well());
    // As if it had been killed between the activation and the gate.
    let mut after: serde_json::Value = serde_json::from_str(&before).unwrap();
    after["target"] =
        serde_json::from_str::<serde_json::Value>(&std::fs::read_to_string(&record).unwrap()).unwrap()["target"]
            .clone();
    after["stage"] = json!("gating");
    after["progress"] = json!({"replaces": true, "touched": true, "activated": true});
    std::fs::write(&record, after.to_string()).unwrap();
    farm.publish("web", "web-3", &json!({"runtime": "nomad"}));
    let round = farm.round();
    assert_eq!(round.services[0].reason.as_deref(), Some("this host has no runtime `nomad`"));
    let record: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&record).unwrap()).unwrap();
    assert_eq!(record["stage"], "committed", "{record}");
    assert_eq!(round.services[0].running.as_deref(), Some(path.as_str()));
}

#[test]
fn what_runs_and_is_not_declared_is_stopped_though_its_record_is_lost() {
    let farm = Farm::new();
    farm.publish("web", "web-1", &json!({}));
    farm.round();
    std::fs::remove_file(farm.scratch.join("state/rollouts/web.json")).unwrap();
    farm.edit(|_| Ok(Edit::Remove("web".to_owned())));
    let round = farm.round();
    assert_eq!((round.services[0].action, farm.running("web")), (Outcome::Stopped, 0));
}

#[test]
fn what_left_makes_way_for_who_comes_and_for_who_takes_its_port() {
    let farm = Farm::new();
    let at = |port: u16| json!({"http": {"domain": "web.example.org", "internalPort": port}});
    farm.publish("old", "web-1", &at(80));
    assert!(farm.round().is_well());
    *farm.world.slowness.lock().unwrap() = Duration::from_millis(1500);
    // Longer than who is about to start waits for the others of its round. First the same service by another name.
    farm.edit(|_| Ok(Edit::Remove("old".to_owned())));
    farm.publish("new", "web-1", &at(80));
    let round = farm.round();
    assert!(round.is_well(), "{round:?}");
    let actions: Vec<Outcome> = round.services.iter().map(|service| service.action).collect();
    assert_eq!(actions, [Outcome::Deployed, Outcome::Stopped]);
    // One that was there before, and moves to the port of one that left.
    farm.publish("api", "api-1", &json!({"http": {"domain": "api.example.org", "internalPort": 81}}));
    assert!(farm.round().is_well());
    farm.edit(|_| Ok(Edit::Remove("new".to_owned())));
    farm.publish("api", "api-1", &json!({"http": {"domain": "api.example.org", "internalPort": 80}}));
    let round = farm.round();
    assert!(round.is_well(), "{round:?}");
}

#[test]
fn a_release_that_was_taken_back_takes_its_domain_with_it() {
    let farm = Farm::new();
    let http = |domain: &str| json!({"http": {"domain": domain, "internalPort": 80}});
    farm.publish("web", "web-1", &http("old.example.org"));
    farm.round();
    farm.world.broken.lock().unwrap().insert("bad".to_owned());
    farm.publish("web", "bad-2", &http("new.example.org"));
    assert_eq!(farm.round().services[0].action, Outcome::RolledBack);
    assert_eq!(farm.domains(), ["old.example.org"]);
    // Another may have it by then.
    farm.publish("api", "api-1", &json!({"http": {"domain": "old.example.org", "internalPort": 81}}));
    farm.round();
    assert_eq!(farm.domains(), ["old.example.org", "old.example.org"], "this router refuses nothing");
    farm.publish("web", "web-3", &json!({}));
    farm.round();
    assert_eq!(farm.domains(), ["new.example.org", "old.example.org"]);
}

#[test]
fn routes_that_a_restart_took_away_are_set_again_before_the_next_poll() {
    let farm = Farm::new();
    farm.publish("web", "web-1", &json!({"http": {"domain": "web.example.org", "internalPort": 80}}));
    let rounds = farm.run_with(farm.options(), 2, |round| {
        assert_eq!(farm.domains(), ["web.example.org"], "round {round}");
        farm.world.routes.lock().unwrap().clear();
    });
    assert_eq!(rounds.len(), 2);
}

#[test]
fn who_does_a_single_round_is_nobody_to_wake() {
    let farm = Farm::new();
    let state = farm.scratch.join("state");
    assert_eq!(freehold_agent::wake(&state).unwrap(), None);
    farm.scratch.write("state/lock", "1");
    let once = farm.open(farm.options());
    assert_eq!(freehold_agent::wake(&state).unwrap(), None, "an earlier agent's process is not signalled");
    drop(once);
}
