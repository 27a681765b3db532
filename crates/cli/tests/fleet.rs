//! The main story on real hosts: services are built and published on one, and hosts with systemd, Nix and Caddy follow, through a bucket
//! that they may only read. Everything is the program as people have it; the bucket is a server of this test, so that it can misbehave.
//!
//! `fleet/farm.rs` makes the hosts; `fleet/web.nix` is the service.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

#[path = "fleet/farm.rs"]
mod farm;
#[path = "fleet/migration.rs"]
mod migration;
#[path = "fleet/troubles.rs"]
mod troubles;

use std::time::Duration;

use farm::{Fleet, SOON, VISIT};
use freehold_testkit::s3::Fault;

#[test]
fn two_hosts_follow_what_is_published_and_take_back_what_is_not_healthy() {
    let Some(fleet) = Fleet::start(&["a", "b"]) else { return };
    fleet.install_agents();
    // A bucket without a manifest is no fault.
    for host in ["a", "b"] {
        fleet.wait_until(host, "the agent", "systemctl is-active --quiet freehold-agent");
    }
    let (one, two) = (fleet.build("1", ""), fleet.build("2", ""));
    let said = fleet.publish_web(&one, "--host a --host b").ended(0);
    assert!(said.contains(&one) && said.contains("a: healthy") && said.contains("b: healthy"), "{said}");
    for host in ["a", "b"] {
        fleet.sees(host, "1");
        let shown = "for p in ProtectSystem DynamicUser NoNewPrivileges; do systemctl show freehold-web -P $p; done; systemctl is-enabled freehold-web";
        assert_eq!(fleet.host(host).shell(shown), "strict\nyes\nyes\nenabled");
        fleet
            .host(host)
            .shell("test -L /nix/var/nix/gcroots/freehold/web/* && test -e /nix/var/nix/profiles/freehold/web");
    }
    fleet.wait_until("a", "its words in the journal", "freehold logs web | grep -q 'version 1 begins'");

    fleet.publish_web(&two, "").ended(0);
    let broken = fleet.build("3", "--argstr status 500");
    let said = fleet.publish_web(&broken, SOON).ended(3);
    // The first host that says so is enough to know.
    assert!(said.contains(": rolled-back:") && said.contains("500"), "{said}");
    for host in ["a", "b"] {
        fleet.sees(host, "2");
        // It is not tried again.
        fleet.wait_until(
            host,
            "the next round",
            "freehold agent status --state /var/lib/freehold | grep -q 'web .*held .*healthy'",
        );
        let status = fleet.status(host);
        let service = &status["services"][0];
        assert_eq!(
            (&service["declared"], &service["running"]),
            (&broken.as_str().into(), &two.as_str().into()),
            "{status}"
        );
        assert!(service["alert"]["reason"].as_str().is_some_and(|reason| reason.contains("500")), "{status}");
        fleet.host(host).shell("test -e /var/lib/freehold/alerts/web.json");
    }
    // Back to what it was before, which runs already; the alert goes.
    let writer = fleet.bucket("shop", "writer");
    fleet.freehold(&format!("rollback web --at '{writer}' --key keys/k.sec")).ended(0);
    for host in ["a", "b"] {
        fleet.wait_until(host, "an end of the alert", "test ! -e /var/lib/freehold/alerts/web.json");
    }

    // A host that restarts in the middle of it all comes to the same end.
    let four = fleet.build("4", "");
    let began = fleet.freehold(&format!("publish web --to '{writer}' --key keys/k.sec --store-path {four}"));
    assert!(began.ended(0).contains("a, b will change it"));
    fleet.wait_until(
        "a",
        "the rollout",
        "journalctl -u freehold-agent -o cat | grep -q 'web: from .*-web-2.* to .*-web-4'",
    );
    fleet.host("a").restart();
    fleet.host("a").shell("systemctl start caddy");
    for host in ["a", "b"] {
        fleet.sees(host, "4");
    }
    // Caddy has forgotten everything: the next look brings the routes back.
    fleet.host("b").shell("systemctl restart caddy");
    fleet.sees("b", "4");

    leaves(&fleet);
}

/// What leaves the manifest is stopped, and its route goes.
fn leaves(fleet: &Fleet) {
    let writer = fleet.bucket("shop", "writer");
    fleet.freehold(&format!("manifest remove web --at '{writer}' --key keys/k.sec")).ended(0);
    for host in ["a", "b"] {
        fleet.wait_until(host, "its end", "! systemctl is-active --quiet freehold-web");
        fleet.wait_until(host, "an end of its route", &format!("! {VISIT} 2>/dev/null"));
        fleet.wait_until(host, "an end of its roots", "test ! -e /nix/var/nix/gcroots/freehold/web");
        let left = "ls /etc/systemd/system /run/systemd/system.control 2>/dev/null | grep -c freehold-web || true";
        assert_eq!(fleet.host(host).shell(left), "0");
    }
}

#[test]
fn a_bucket_that_stumbles_lies_or_forbids_is_followed_when_it_can_be_and_harms_nothing() {
    let Some(fleet) = Fleet::start(&["a"]) else { return };
    fleet.install_agents();
    let (one, two, three) = (fleet.build("1", ""), fleet.build("2", ""), fleet.build("3", ""));
    fleet.publish_web(&one, "--host a").ended(0);

    // It is busy, slow, and loses requests and answers, of publishers and of hosts.
    fleet.server.set_latency(Duration::from_millis(20));
    for (fault, method, part) in [
        (Fault::Unavailable, "", ""),
        (Fault::LostReply, "PUT", ""),
        (Fault::SlowDown, "PUT", "/shop/nar/"),
        (Fault::ErrorAfterEffect, "PUT", ".narinfo"),
        (Fault::LostReply, "PUT", "/shop/manifest.json"),
        (Fault::LostRequest, "GET", ".narinfo"),
        (Fault::LostReply, "GET", "/shop/nar/"),
        (Fault::Unavailable, "GET", "/shop/manifest.json"),
        (Fault::Unavailable, "PUT", "/reports/"),
    ] {
        fleet.server.inject(fault, method, part, 2);
    }
    fleet.publish_web(&two, "").ended(0);
    fleet.server.clear_faults();
    fleet.server.set_latency(Duration::ZERO);
    fleet.sees("a", "2");

    // A NAR, then a narinfo, that was changed on the way: refused by name, and what runs goes on. Put right, it is taken.
    let writer = fleet.bucket("shop", "writer");
    let push = format!("cache push --to '{writer}' --key keys/k.sec {three}");
    fleet.freehold(&push).ended(0);
    let hash = three.trim_start_matches("/nix/store/").split('-').next().unwrap();
    let (info, text) = object(&fleet, |key| key == format!("{hash}.narinfo"));
    let url = String::from_utf8(text.clone()).unwrap();
    let url = url.lines().find_map(|line| line.strip_prefix("URL: ")).unwrap().to_owned();
    let (nar, bytes) = object(&fleet, |key| key == url);
    let mut bad = bytes.clone();
    *bad.last_mut().unwrap() ^= 1;
    fleet.server.put_object("shop", &nar, bad);
    let said = fleet.publish_web(&three, "").ended(3);
    assert!(said.contains(&format!("the NAR of `{three}`")), "{said}");
    fleet.sees("a", "2");
    let lie = String::from_utf8(text.clone()).unwrap().replace("NarSize: ", "NarSize: 1");
    fleet.server.put_object("shop", &info, lie);
    fleet.server.put_object("shop", &nar, bytes);
    fleet.wait_until(
        "a",
        "the refusal",
        "freehold agent status --state /var/lib/freehold | grep -q 'not signed by a trusted key'",
    );
    fleet.sees("a", "2");
    fleet.server.put_object("shop", &info, text);
    fleet.sees("a", "3");

    lies_about_the_manifest(&fleet);
    // A path that is in no cache.
    let gone = fleet.build("4", "");
    fleet.freehold(&format!("cache push --to '{writer}' --key keys/k.sec {gone}")).ended(0);
    let hash = gone.trim_start_matches("/nix/store/").split('-').next().unwrap().to_owned();
    fleet.publish_what_gets_lost(&gone, &format!("{hash}.narinfo"));
    fleet.sees("a", "3");
}

/// A manifest of a stranger, and an older one, are not followed; one that is away changes nothing.
fn lies_about_the_manifest(fleet: &Fleet) {
    let manifest = object(fleet, |key| key == "manifest.json").1;
    let older = object(fleet, |key| key.starts_with("manifests/manifest-")).1;
    let status = |part: &str| format!("freehold agent status --state /var/lib/freehold 2>&1 | grep -q '{part}'");
    fleet.server.put_object("shop", "manifest.json", older);
    fleet.wait_until("a", "the refusal of an older one", &status("has serial 1, and"));
    let text = String::from_utf8(manifest.clone()).unwrap();
    fleet.server.put_object("shop", "manifest.json", text.replace("\"8000\"", "\"8001\""));
    fleet.wait_until("a", "the refusal of a changed one", &status("changed after it was signed"));
    // To a key that may not list, what is gone is forbidden, and nothing is made of it.
    fleet.server.remove_object("shop", "manifest.json");
    fleet.wait_until("a", "the news that it cannot be read", &status("not allowed to read `manifest.json`"));
    fleet.sees("a", "3");
    fleet.server.put_object("shop", "manifest.json", manifest);
    fleet.wait_until("a", "an end of it", &format!("! {}", status("not allowed to read")));
}

/// The first object of the bucket with such a key.
fn object(fleet: &Fleet, is_it: impl Fn(&str) -> bool) -> (String, Vec<u8>) {
    fleet.server.objects("shop").into_iter().find(|(key, _)| is_it(key)).unwrap()
}

impl Fleet {
    /// Publishes a path, whose narinfo is lost before hosts come for it; then it is put back, and at last the release before it is.
    fn publish_what_gets_lost(&self, path: &str, key: &str) {
        let lost = self.server.objects("shop").remove(key).unwrap();
        self.host("a").shell("systemctl stop freehold-agent");
        let writer = self.bucket("shop", "writer");
        self.freehold(&format!("publish web --to '{writer}' --key keys/k.sec --store-path {path}")).ended(0);
        assert!(self.server.remove_object("shop", key));
        self.host("a").shell("systemctl start --no-block freehold-agent");
        self.wait_until(
            "a",
            "the news",
            &format!("freehold agent status --state /var/lib/freehold | grep -q '`{path}` is not in'"),
        );
        self.server.put_object("shop", key, lost);
        self.wait_until(
            "a",
            "the release",
            "freehold agent status --state /var/lib/freehold | grep -q 'web .*healthy .*-web-4'",
        );
        self.freehold(&format!("rollback web --at '{writer}' --key keys/k.sec")).ended(0);
    }
}

#[test]
fn services_that_change_in_one_round_cost_one_reload_of_systemd() {
    let Some(fleet) = Fleet::start(&["a"]) else { return };
    let writer = fleet.bucket("shop", "writer");
    let publish_all = |path: &str| {
        for (name, port) in [("x", 9001), ("y", 9002), ("z", 9003)] {
            let words = format!("--store-path {path} --command web --env PORT={port} --gate '{{\"windowSeconds\":0}}'");
            fleet.freehold(&format!("publish {name} --to '{writer}' --key keys/k.sec {words}")).ended(0);
        }
    };
    let reloads = || -> u32 {
        // What was said before is written when the journal has been asked to.
        let count = "journalctl --sync; journalctl -q -o cat _PID=1 | grep -c '^Reloading\\.\\.\\.$' || true";
        fleet.host("a").shell(count).parse().unwrap()
    };
    for version in ["1", "2"] {
        publish_all(&fleet.build(version, ""));
        let before = reloads();
        fleet.host("a").shell(&format!(
            "freehold agent once --from '{}' --host a --trusted-key /root/k.pub --state /var/lib/freehold 2>&1",
            fleet.bucket("shop", "reader")
        ));
        assert_eq!(reloads(), before + 1, "version {version}");
    }
}
