//! The agent as a service of a real host with plain systemd: installed, watched, started at boot, left alone when it is another's, taken
//! away; and what its services said in the journal. The host has no Nix: programs that do nothing stand in for it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

use std::time::{Duration, Instant};

use freehold_testkit::{Host, freehold_binary};

fn host() -> Option<Host> {
    let host = Host::start()?;
    host.install(&freehold_binary().display().to_string());
    for program in ["nix-store", "nix-instantiate", "nix-env", "nix"] {
        host.write(&format!("/usr/local/bin/{program}"), "#!/bin/sh\nexit 0\n");
    }
    host.shell("chmod +x /usr/local/bin/nix*; cd /root; freehold cache keygen k --dir keys");
    Some(host)
}

fn wait_until(host: &Host, what: &str, test: &str) {
    let end = Instant::now() + Duration::from_secs(300);
    while !host.run(&["sh", "-c", test], b"").status.success() {
        let status = || host.shell("systemctl status freehold-agent --no-pager --lines 30 || true");
        assert!(Instant::now() < end, "{what} did not come:\n{}", status());
        std::thread::sleep(Duration::from_millis(50));
    }
}

const INSTALL: &str = "freehold agent install --from file:///srv/bucket --host a --trusted-key /root/keys/k.pub --poll 1h \
                       --metrics 127.0.0.1:9464 --nix-trust --state /var/lib/freehold 2>&1";
const IS_ACTIVE: &str = "systemctl is-active --quiet freehold-agent";

#[test]
fn an_installed_agent_is_watched_by_systemd_started_at_boot_and_taken_away_without_a_trace() {
    let Some(host) = host() else { return };
    host.write("/etc/nix/nix.conf", "max-jobs = 1");
    let said = host.shell(INSTALL);
    assert!(said.contains("wrote /etc/systemd/system/freehold-agent.service"), "{said}");
    assert!(said.contains("freehold-agent.service is started, and starts at boot"), "{said}");
    // Active is a service of this type when it has said so itself.
    wait_until(&host, "a first round", IS_ACTIVE);
    let shown = host.shell("systemctl show freehold-agent -P Type -P NotifyAccess -P WatchdogUSec -P StatusText");
    assert_eq!(shown, "notify\nmain\n2min\nno manifest: 0 of 0 services as declared");
    let ask = "exec 3<>/dev/tcp/127.0.0.1/9464; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3";
    let metrics = host.shell(&format!("bash -c \"{}\"", ask.replace('\\', "\\\\")));
    assert!(metrics.contains("\nfreehold_agent_services 0\n"), "{metrics}");
    assert_eq!(host.shell("stat -c %F /var/lib/freehold/agent.sock"), "socket");
    let analyzed = host.shell("systemd-analyze verify freehold-agent.service 2>&1 || true");
    assert!(!analyzed.contains("freehold-agent"), "{analyzed}");

    let pid = "systemctl show freehold-agent -P MainPID";
    let before = host.shell(pid);
    let again = host.shell(INSTALL);
    assert!(!again.contains("wrote "), "{again}");
    assert_eq!(host.shell(pid), before, "the same again starts nothing anew");
    assert_eq!(host.shell("grep -c include /etc/nix/nix.conf"), "1");
    assert!(host.shell("cat /etc/nix/freehold.conf").contains("extra-trusted-public-keys = k:"));
    host.shell("systemctl reload freehold-agent; systemctl is-active freehold-agent");

    host.restart();
    wait_until(&host, "the agent after a boot", IS_ACTIVE);

    // From now on by a timer: what ran all the time does no more.
    host.shell(
        "freehold agent install --from file:///srv/bucket --host a --trusted-key /root/keys/k.pub --timer '*:0/5'",
    );
    wait_until(&host, "the timer", "systemctl is-active --quiet freehold-agent.timer");
    assert_eq!(host.shell("systemctl start freehold-agent; systemctl show freehold-agent -P Result"), "success");

    host.shell("freehold agent uninstall");
    let traces = "find /etc/systemd /run/systemd/system -name '*freehold*'; systemctl list-units --all --plain --no-legend 'freehold*'; cat /etc/nix/nix.conf; ls /etc/nix";
    assert_eq!(host.shell(traces), "max-jobs = 1\nnix.conf");
}

#[test]
fn a_unit_of_somebody_else_is_left_alone() {
    let Some(host) = host() else { return };
    let unit = "[Service]\nExecStart=/bin/sleep 1000\n";
    host.write("/etc/systemd/system/freehold-agent.service", unit);
    for command in [INSTALL, "freehold agent uninstall 2>&1"] {
        let output = host.run(&["sh", "-c", command], b"");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("was not written by `freehold agent install`"), "{said}");
    }
    assert_eq!(
        host.shell("cat /etc/systemd/system/freehold-agent.service; ls /etc/nix 2>/dev/null || true"),
        unit.trim_end()
    );
}

#[test]
fn what_a_service_said_is_in_the_journal_whichever_of_its_two_instances_it_was() {
    let Some(host) = host() else { return };
    let mark = r##"# freehold-release: {"workload":"web","id":"web-1","payload":{}}"##;
    host.write("/var/lib/freehold/services/freehold-web.service", mark);
    host.shell("systemd-run --quiet --wait --unit freehold-web-blue echo from blue; systemd-run --quiet --wait --unit freehold-web-green echo from green");
    host.shell("systemd-run --quiet --wait --unit freehold-webber echo from another");
    let heard = "freehold logs web >/tmp/said && grep -q 'from blue' /tmp/said && grep -q 'from green' /tmp/said";
    wait_until(&host, "the journal", heard);
    let said = host.shell("freehold logs web --since -1h");
    assert!(said.contains("from blue") && said.contains("from green") && !said.contains("from another"), "{said}");
    assert!(!host.shell("freehold logs web --lines 1").contains("from blue"));
    // It shows what there is, and goes on: it is there to be ended.
    let follow = "freehold logs web --follow >/tmp/followed 2>&1 & until grep -qs 'from green' /tmp/followed; do sleep 0.05; done; kill $!";
    host.shell(follow);
    let output = host.run(&["sh", "-c", "freehold logs wbe 2>&1"], b"");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("there is web; did you mean `web`?"), "{said}");
}
