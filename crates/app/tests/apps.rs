//! Apps on a real Swarm: a daemon of its own, in a network of its own, which both end with the test.
//!
//! The test starts itself again inside of new namespaces, so that neither bridges nor ports nor firewall rules of this machine are
//! touched. Images are made here from a static program (`stub/server.rs`); recipes are git repositories made here.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

mod swarm;

use swarm::{Swarm, inside};

const DOMAIN: &str = "blog.example.org";

#[test]
fn apps_are_deployed_updated_and_taken_back_with_their_data_on_a_swarm() {
    let Some(swarm) = inside("apps_are_deployed_updated_and_taken_back_with_their_data_on_a_swarm") else { return };
    swarm.done(&["swarm", "init", "--advertise-addr", swarm::ADDRESS]);
    swarm.recipe("1.0.0+1.0.0", "STATUS=200", "");
    swarm.done(&["new", "stub", "--domain", DOMAIN]);
    deploys_after_its_secret_is_there(&swarm);
    touches_nothing_when_nothing_changed(&swarm);
    upgrades_by_itself_and_keeps_data(&swarm);
    takes_an_unhealthy_version_back_with_its_data(&swarm);
    holds_a_major_version_and_one_whose_notes_ask_for_a_person(&swarm);
    heals_what_was_removed(&swarm);
    keeps_data_when_it_is_undeployed(&swarm);
    swarm.done(&["undeploy", DOMAIN]);
    swarm.done(&["rm", DOMAIN, "--yes"]);
    assert_eq!(swarm.docker(&["volume", "ls", "--quiet"]), "");
    assert_eq!(swarm.docker(&["secret", "ls", "--quiet"]), "");
}

fn deploys_after_its_secret_is_there(swarm: &Swarm) {
    let options = ["--health-origin", "http://127.0.0.1:18080", "--stateful", "--health-window", "1"];
    let timeouts = ["--health-timeout", "30", "--timeout", "300"];
    let refused = swarm.app(&[&["deploy", DOMAIN][..], &options, &timeouts].concat()).code(1);
    assert!(refused.stderr.contains("blog_example_org_token_v1"), "{}", refused.stderr);
    assert_eq!(swarm.docker(&["service", "ls", "--quiet"]), "", "nothing is half deployed");
    swarm.done(&["secret", "generate", DOMAIN]);
    let done = swarm.json(&["deploy", DOMAIN], 0);
    assert_eq!((done["action"].as_str(), done["to"].as_str()), (Some("deployed"), Some("1.0.0+1.0.0")), "{done}");
    assert_eq!(swarm.answer(), "1.0.0");
    assert!(swarm.env_file(DOMAIN).contains("TYPE=stub:1.0.0+1.0.0"));
    let labels = swarm.docker(&["service", "inspect", "blog_example_org_app", "--format", "{{json .Spec.Labels}}"]);
    assert!(labels.contains(r#""coop-cloud.blog_example_org.version":"1.0.0+1.0.0""#), "{labels}");
}

fn touches_nothing_when_nothing_changed(swarm: &Swarm) {
    let before = swarm.versions();
    let done = swarm.json(&["deploy", DOMAIN], 0);
    assert_eq!((done["action"].as_str(), done["healthy"].as_bool()), (Some("none"), Some(true)), "{done}");
    assert_eq!(swarm.versions(), before);
    assert_eq!(swarm.json(&["check", DOMAIN], 0)["healthy"], true);
}

fn upgrades_by_itself_and_keeps_data(swarm: &Swarm) {
    swarm.recipe("1.1.0+1.1.0", "STATUS=200", "");
    let done = swarm.json(&["reconcile", DOMAIN], 0);
    let told = (done["action"].as_str(), done["from"].as_str(), done["to"].as_str());
    assert_eq!(told, (Some("upgraded"), Some("1.0.0+1.0.0"), Some("1.1.0+1.1.0")), "{done}");
    assert_eq!(swarm.answer(), "1.1.0");
    assert_eq!(swarm.data(), "1.0.0\n1.1.0\n");
}

fn takes_an_unhealthy_version_back_with_its_data(swarm: &Swarm) {
    swarm.recipe("1.2.0+1.2.0", "STATUS=500", "");
    let done = swarm.json(&["reconcile", DOMAIN], 3);
    assert_eq!((done["action"].as_str(), done["healthy"].as_bool()), (Some("rolled-back"), Some(false)), "{done}");
    assert_eq!(swarm.answer(), "1.1.0");
    // What the failed version added is gone; what ran before has started once more.
    assert_eq!(swarm.data(), "1.0.0\n1.1.0\n1.1.0\n");
    let alert = swarm.alert(DOMAIN).unwrap();
    let told = (alert["kind"].as_str(), alert["from"].as_str(), alert["to"].as_str());
    assert_eq!(told, (Some("rolled-back"), Some("1.1.0+1.1.0"), Some("1.2.0+1.2.0")), "{alert}");
    assert!(swarm.env_file(DOMAIN).contains("TYPE=stub:1.1.0+1.1.0"));
    let before = swarm.versions();
    let again = swarm.json(&["reconcile", DOMAIN], 4);
    assert_eq!(again["action"], "held", "it is not tried again: {again}");
    assert_eq!(swarm.versions(), before);
}

fn holds_a_major_version_and_one_whose_notes_ask_for_a_person(swarm: &Swarm) {
    swarm.recipe("1.3.0+1.3.0", "STATUS=200", "");
    assert_eq!(swarm.json(&["reconcile", DOMAIN], 0)["action"], "upgraded");
    assert_eq!(swarm.alert(DOMAIN), None, "the next success clears it");
    swarm.recipe("1.4.0+1.4.0", "STATUS=200", "You must move the database first.\n");
    let done = swarm.json(&["reconcile", DOMAIN], 4);
    assert!(done["reason"].as_str().unwrap().contains("move the database"), "{done}");
    assert_eq!(swarm.json(&["upgrade", DOMAIN], 0)["to"], "1.4.0+1.4.0", "a person may");
    swarm.recipe("2.0.0+2.0.0", "STATUS=200", "");
    let done = swarm.json(&["reconcile", DOMAIN], 4);
    assert!(done["reason"].as_str().unwrap().contains("major version"), "{done}");
    assert_eq!(swarm.alert(DOMAIN).unwrap()["kind"], "held");
    assert_eq!(swarm.answer(), "1.4.0");
}

fn heals_what_was_removed(swarm: &Swarm) {
    swarm.docker(&["service", "rm", "blog_example_org_app"]);
    assert_eq!(swarm.json(&["check", DOMAIN], 3)["healthy"], false);
    assert_eq!(swarm.json(&["deploy", DOMAIN], 0)["healthy"], true);
    assert_eq!(swarm.answer(), "1.4.0");
}

fn keeps_data_when_it_is_undeployed(swarm: &Swarm) {
    let before = swarm.data();
    assert_eq!(swarm.json(&["undeploy", DOMAIN], 0)["action"], "stopped");
    assert_eq!(swarm.docker(&["service", "ls", "--quiet"]), "");
    swarm.done(&["backup", DOMAIN, "--name", "by-hand"]);
    swarm.done(&["deploy", DOMAIN]);
    assert_eq!(swarm.data(), format!("{before}1.4.0\n"));
    let refused = swarm.app(&["restore", DOMAIN, "by-hand"]).code(1);
    assert!(refused.stderr.contains("`blog.example.org` runs"), "{}", refused.stderr);
    swarm.done(&["undeploy", DOMAIN]);
    swarm.done(&["restore", DOMAIN, "by-hand"]);
    swarm.done(&["deploy", DOMAIN]);
    assert_eq!(swarm.data(), format!("{before}1.4.0\n"), "as it was, and started once");
}
