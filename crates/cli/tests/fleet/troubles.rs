//! Services that misbehave and hosts that cannot: each is told with its reason, the release before it goes on, and no other service
//! notices.

use std::time::Duration;

use crate::farm::{Fleet, GATE, SOON};

impl Fleet {
    /// Publishes `odd`, a service beside `web`.
    fn publish_odd(&self, path: &str, words: &str) -> crate::farm::Said {
        self.publish(
            "odd",
            &format!("--reset --host a --store-path {path} --command web --env PORT=9000 --gate '{ODD_GATE}' {words}"),
        )
    }

    fn odd_says(&self, version: &str) {
        let ask = format!("curl --silent --max-time 5 http://127.0.0.1:9000/ | grep -qx 'version {version}'");
        self.wait_until("a", &format!("version {version} of `odd`"), &ask);
    }
}

const ODD_GATE: &str = r#"{"http":{"path":"/","port":9000},"timeoutSeconds":120,"windowSeconds":1}"#;

#[test]
fn a_service_that_misbehaves_or_cannot_run_here_is_told_and_the_one_before_it_goes_on() {
    let Some(fleet) = Fleet::start(&["a"]) else { return };
    fleet.install_agents();
    let good = fleet.build("1", "");
    fleet.publish_web(&good, "--host a").ended(0);
    let fine = fleet.build("fine", "");
    fleet.publish_odd(&fine, "").ended(0);
    let started = "systemctl show freehold-web -P MainPID -P ActiveEnterTimestampMonotonic";
    let before = fleet.host("a").shell(started);

    let way = |way: &str| fleet.build(way, &format!("--argstr way {way}"));
    let (ends, hangs, forks) = (way("ends"), way("hangs"), way("forks"));
    // What is not in the artifact is known before anything moves.
    let said = fleet.publish_odd(&fine, "--set exec/command='\"nothing\"'").ended(1);
    assert!(said.contains("no host can start `nothing`"), "{said}");
    let mut otherwise = Vec::new();
    for (path, words, reason) in [
        (&ends, "", "(exit code 7); it said: version ends begins / cannot go on"),
        (&hangs, SOON, "nobody answers at http://127.0.0.1:9000/"),
        (&hangs, "--set systemd/type='\"notify\"' --set systemd/timeoutStartSec=2", "timeout"),
        (&forks, "", "it ended"),
        (&fine, "--env-file /etc/no-such.env", "/etc/no-such.env"),
        (&fine, "--set systemd/requires='[\"no-such.service\"]'", "no-such.service"),
        (&fine, "--set systemd/loadCredential/db='\"/etc/no-such.key\"'", "/etc/no-such.key"),
        (&fine, "--runtime nomad", "no runtime `nomad`"),
        (&fine, "--set env/PORT='\"8000\"'", "cannot listen on 8000"),
    ] {
        let said = fleet.publish_odd(path, words).ended(3);
        if !said.contains(reason) {
            otherwise.push(format!("{words}: {said}"));
        }
        fleet.odd_says("fine");
    }
    assert!(otherwise.is_empty(), "{}", otherwise.join("\n"));

    // What does not want to end is ended, and leaves its port to the next.
    for stubborn in ["deaf", "leaks"] {
        fleet.publish_odd(&way(stubborn), "--set systemd/timeoutStopSec=2").ended(0);
        fleet.odd_says(stubborn);
        fleet.publish_odd(&fine, "").ended(0);
        fleet.odd_says("fine");
    }
    assert_eq!(fleet.host("a").shell(started), before, "the other service has noticed nothing");
}

#[test]
fn a_host_that_is_full_killed_or_without_its_caddy_comes_to_the_declared_end() {
    let Some(fleet) = Fleet::start(&["a"]) else { return };
    fleet.install_agents();
    let (one, two) = (fleet.build("1", ""), fleet.build("2", ""));
    fleet.publish_web(&one, "--host a").ended(0);
    fleet.sees("a", "1");

    // The disk on which pulls lie is full: told, and nothing has changed; with room it goes on by itself.
    fleet.host("a").shell(
        "mkdir -p /var/lib/freehold/staging; mount -t tmpfs -o size=4k,nr_inodes=8 tmpfs /var/lib/freehold/staging",
    );
    let said = fleet.publish_web(&two, "").ended(3);
    assert!(said.contains("No space left on device"), "{said}");
    fleet.sees("a", "1");
    // As soon as nobody is at work there.
    fleet.host("a").shell("until umount /var/lib/freehold/staging; do sleep 0.05; done");
    fleet.sees("a", "2");

    // Caddy is away: an alert, and the service is upgraded all the same.
    fleet.host("a").shell("systemctl stop caddy");
    let writer = fleet.bucket("shop", "writer");
    fleet.freehold(&format!("publish web --to '{writer}' --key keys/k.sec --store-path {one}")).ended(0);
    fleet.wait_until("a", "version 1", "curl --silent http://127.0.0.1:8000/ | grep -qx 'version 1'");
    fleet.wait_until("a", "an alert", "freehold agent status --state /var/lib/freehold 2>&1 | grep -q 'routes'");
    fleet.host("a").shell("systemctl start caddy");
    fleet.sees("a", "1");
    fleet.wait_until(
        "a",
        "an end of the alert",
        "! freehold agent status --state /var/lib/freehold 2>&1 | grep -q 'warning: alert'",
    );

    // kill -9 in the middle of rollouts; systemd starts it again, and it goes on where it was.
    fleet.host("a").shell("mkdir -p /etc/systemd/system/freehold-agent.service.d; printf '[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestartSec=0\n' > /etc/systemd/system/freehold-agent.service.d/soon.conf; systemctl daemon-reload");
    for (round, (version, path)) in [("2", &two), ("1", &one), ("2", &two)].into_iter().enumerate() {
        fleet
            .freehold(&format!("publish web --to '{writer}' --key keys/k.sec --store-path {path} --gate '{GATE}'"))
            .ended(0);
        for kill in 0..3_u64 {
            std::thread::sleep(Duration::from_millis(250 * (1 + kill) + 130 * round as u64));
            fleet.host("a").shell("systemctl kill --signal=KILL --kill-whom=main freehold-agent || true");
        }
        fleet.sees("a", version);
        // Requests are switched before the release is committed: the kills of the next round would count for this one.
        fleet.wait_until(
            "a",
            "a round that finds all well",
            &format!(
                "freehold agent status --state /var/lib/freehold | grep -q 'web .*none .*healthy .*-web-{version}'"
            ),
        );
    }
    assert_eq!(fleet.host("a").shell("systemctl show 'freehold-web*' --state=active -P Id"), "freehold-web.service");
    assert_eq!(fleet.host("a").shell("ls -A /var/lib/freehold/staging 2>/dev/null | wc -l"), "0");
}
