//! The runtime `systemd` on real hosts: what is deployed, taken back, started at boot, kept apart, and left alone.
//!
//! The runtime runs inside the host, by way of `drive.rs`. Services are shell scripts of the host's own shell.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::time::{Duration, Instant};

use freehold_testkit::Host;
use serde_json::{Value as Json, json};

const DRIVE: &str = env!("CARGO_BIN_EXE_freehold-runtime-drive");
const STORE_PATH: &str = "/nix/store/0c2mn5xhkzyyx7hbcmxgjvwqyxf1x7bd-web";

/// A host with the driver on it.
struct Driven(Host);

impl Driven {
    fn start() -> Option<Self> {
        let host = Host::start()?;
        host.install(DRIVE);
        Some(Self(host))
    }

    /// Lets one process of the driver do these actions; what came of each.
    fn act(&self, actions: &[Json]) -> Vec<Json> {
        self.act_with(&[], actions)
    }

    fn act_with(&self, options: &[&str], actions: &[Json]) -> Vec<Json> {
        let input: String = actions.iter().map(|action| format!("{action}\n")).collect();
        let words = [&["freehold-runtime-drive", "/var/lib/freehold"], options].concat();
        let output = self.0.run(&words, input.as_bytes());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn one(&self, action: &Json) -> Json {
        self.act(std::slice::from_ref(action)).remove(0)
    }

    /// Rolls a service out; `outcome`, and the reason after a colon.
    fn roll_out(&self, service: &Json) -> String {
        outcome(&self.one(&json!({"do": "roll-out", "service": service})))
    }

    /// The commands of what runs of `name`.
    fn running(&self, name: &str) -> Vec<String> {
        let found = self.one(&json!({"do": "observe", "name": name}));
        found.as_array().unwrap().iter().map(|one| one["command"].as_str().unwrap_or("foreign").to_owned()).collect()
    }

    fn wait_until(&self, what: &str, test: &str) {
        let end = Instant::now() + Duration::from_secs(120);
        while !self.0.run(&["sh", "-c", test], b"").status.success() {
            assert!(Instant::now() < end, "{what} did not come");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the process of a unit is the service's own program: systemd calls it active before that.
    fn wait_for_program(&self, unit: &str) {
        let environment = format!("/proc/$(systemctl show -P MainPID {unit})/environ");
        self.wait_until("the program", &format!("tr '\\0' '\\n' <{environment} | grep -q ^FREEHOLD_RELEASE="));
    }
}

fn outcome(report: &Json) -> String {
    match (report["outcome"].as_str(), report["reason"].as_str()) {
        (Some(outcome), Some(reason)) => format!("{outcome}: {reason}"),
        (Some(outcome), None) => outcome.to_owned(),
        (None, _) => report.to_string(),
    }
}

/// A service that runs this script, with further fields.
fn service(name: &str, script: &str, further: Json) -> Json {
    let mut service = json!({
        "name": name,
        "artifact": {"type": "nix-closure", "storePath": STORE_PATH},
        "exec": {"command": command(script)},
        "systemd": {"restartSec": 0},
        "gate": {"timeoutSeconds": 90, "windowSeconds": 1},
    });
    merge(&mut service, further);
    service
}

/// The gate of what has to be seen to end: it may do so late on a busy machine, and as soon as it has the window is over.
fn watching() -> Json {
    json!({"timeoutSeconds": 90, "windowSeconds": 90})
}

fn command(script: &str) -> String {
    format!("/bin/sh -c '{script}'")
}

fn merge(into: &mut Json, from: Json) {
    match from {
        Json::Object(fields) if into.is_object() => {
            for (name, value) in fields {
                merge(&mut into[name], value);
            }
        }
        value => *into = value,
    }
}

const ONE: &str = "echo one; exec sleep 1001";
const TWO: &str = "echo two; exec sleep 1002";

#[test]
fn a_service_is_deployed_upgraded_taken_back_and_removed_without_a_trace() {
    let Some(host) = Driven::start() else { return };
    let (one, two) = (service("web", ONE, json!({})), service("web", TWO, json!({})));
    assert_eq!(host.roll_out(&one), "deployed");
    assert_eq!(host.roll_out(&one), "none");
    let enabled =
        "systemctl is-enabled freehold-web; readlink /etc/systemd/system/multi-user.target.wants/freehold-web.service";
    assert_eq!(host.0.shell(enabled), "enabled\n/etc/systemd/system/freehold-web.service");
    assert_eq!(host.roll_out(&two), "upgraded");
    assert_eq!(host.running("web"), [command(TWO)]);
    let pid = "systemctl show -P MainPID freehold-web";
    let before = host.0.shell(pid);

    let further = json!({"systemd": {"restartSec": 5}, "gate": watching()});
    let exits = service("web", "echo I cannot go on; exit 7", further);
    let report = host.roll_out(&exits);
    assert!(report.starts_with("rolled-back: "), "{report}");
    assert!(report.contains("exit code 7") && report.contains("it said: I cannot go on"), "{report}");
    assert_eq!(host.running("web"), [command(TWO)]);
    assert_ne!(host.0.shell(pid), before);

    let no_user = service("web", ONE, json!({"exec": {"user": "nobody-here"}}));
    let before = host.0.shell(pid);
    let report = host.roll_out(&no_user);
    assert_eq!(report, "failed: it cannot be prepared: user `nobody-here` does not exist");
    let no_directory = json!({"systemd": {"workingDirectory": "/not/there", "restartSec": 5}, "gate": watching()});
    let no_directory = service("web", ONE, no_directory);
    assert_eq!(host.0.shell(pid), before);
    let report = host.roll_out(&no_directory);
    assert!(
        report.starts_with("rolled-back: ") && report.contains("exit code 200 (its working directory)"),
        "{report}"
    );
    assert_eq!(host.running("web"), [command(TWO)]);

    assert_eq!(outcome(&host.one(&json!({"do": "remove", "name": "web"}))), "stopped");
    assert_eq!(host.running("web"), Vec::<String>::new());
    let traces = "find /etc/systemd /run/systemd/system* -name \"*freehold*\"; systemctl list-units --all --plain --no-legend \"freehold*\"";
    assert_eq!(host.0.shell(traces), "");
    assert_eq!(host.0.shell("ls /var/lib/private"), "freehold-web", "its data stay");
}

#[test]
fn a_release_that_ends_again_and_again_is_noticed() {
    let Some(host) = Driven::start() else { return };
    let good = service("web", ONE, json!({}));
    host.roll_out(&good);
    let flaps = service("web", "echo no; sleep 0.4; exit 3", json!({"gate": watching()}));
    let report = host.roll_out(&flaps);
    assert!(
        report.starts_with("rolled-back: ") && report.contains("it ended") && report.contains("it said: no"),
        "{report}"
    );
    assert_eq!(host.running("web"), [command(ONE)]);
    // One that was killed once and has been started again is no release that ends by itself, once it has lasted.
    let seen = host.one(&json!({"do": "kill", "service": good}));
    let seen: Vec<&str> = seen.as_array().unwrap().iter().map(|look| look.as_str().unwrap()).collect();
    let again = "broken: it ended and was started again (1 times)";
    assert!(seen.iter().any(|look| look.starts_with(again)), "{seen:?}");
    assert_eq!(seen.last(), Some(&"settled"), "{seen:?}");
    assert_eq!(host.0.shell("systemctl show -P NRestarts freehold-web"), "1");
}

/// Between two starts no process can tell which release it is, and the unit file is the new one's already.
#[test]
fn what_ends_again_and_again_is_replaced_also_between_two_starts_of_it() {
    let Some(host) = Driven::start() else { return };
    let ends = service("web", "exit 3", json!({"systemd": {"restartSec": 600}}));
    assert_eq!(host.one(&json!({"do": "activate", "service": ends})), json!("done"));
    host.wait_until("its end", "[ \"$(systemctl show -P SubState freehold-web)\" = auto-restart ]");
    let good = service("web", ONE, json!({}));
    let done = host.act(&["install", "activate"].map(|what| json!({"do": what, "service": good})));
    assert_eq!(done, [json!("done"), json!("done")]);
    assert_eq!(host.one(&json!({"do": "settle", "service": good})), json!("settled"));
    assert_eq!(host.running("web"), [command(ONE)]);
}

#[test]
fn two_instances_run_until_the_old_one_is_retired() {
    let Some(host) = Driven::start() else { return };
    let both = |script: &str| {
        let http = json!({"domain": "web.test", "internalPort": 8080});
        service("web", script, json!({"instances": "blue-green", "http": http}))
    };
    let (one, two) = ("echo one on $PORT; exec sleep 1001", "echo two on $PORT; exec sleep 1002");
    let deployed = host.one(&json!({"do": "roll-out", "service": both(one)}));
    assert_eq!(outcome(&deployed), "deployed");
    let upgraded = host.one(&json!({"do": "roll-out", "service": both(two)}));
    assert_eq!(outcome(&upgraded), "upgraded");
    let both_units = "freehold-web-blue.service freehold-web-green.service";
    assert_eq!(upgraded["events"][0], json!(format!("routes switch: {both_units}")));
    assert_eq!(host.running("web"), [command(two)]);
    assert_eq!(host.0.shell("ls /etc/systemd/system | grep freehold"), "freehold-web-green.service");
    let found = host.one(&json!({"do": "observe", "name": "web"}));
    host.wait_until("its word", "journalctl -q -o cat -u freehold-web-green | grep -q two");
    let said = host.0.shell("journalctl -q -o cat -u freehold-web-green | grep two");
    assert_eq!(said, format!("two on {}", found[0]["port"]));
    // The data belong to both: the user is one.
    assert_eq!(host.0.shell("systemctl show -P User freehold-web-green"), "freehold-web");
    let mut bad = both("exit 1");
    merge(&mut bad["gate"], watching());
    let bad = host.one(&json!({"do": "roll-out", "service": bad}));
    assert!(outcome(&bad).starts_with("rolled-back: "), "{bad}");
    assert_eq!(host.running("web"), [command(two)]);
    assert_eq!(host.roll_out(&both(one)), "upgraded");
    assert_eq!(host.0.shell("ls /etc/systemd/system | grep freehold"), "freehold-web-blue.service");
}

#[test]
fn every_nasty_character_arrives_as_it_was_meant() {
    let Some(host) = Driven::start() else { return };
    let nasty = "a\"b'c\\d%e%%f$g ${HOME} \\n \n\th#;i|grün 🌱 \\";
    host.0.write("/etc/my web/50%[a]*.env", "FROM_FILE='it is $HOME'\n");
    host.0.write("/etc/my-web/key%", "secret of web");
    host.0.write("/usr/local/bin/dump 100%", "#!/bin/sh\nprintf '%s\\0' \"$@\" >arguments\nprintf '%s' \"$NASTY\" >nasty\nprintf '%s' \"$FROM_FILE\" >file\ncat \"$CREDENTIALS_DIRECTORY/key\" >key\nexec sleep 1000\n");
    host.0.shell("chmod 755 '/usr/local/bin/dump 100%'; mkdir -p '/srv/my \"data\" 5%'; chmod 777 /srv/*");
    let arguments =
        [nasty.replace('\n', " "), String::new(), ";".to_owned(), "$HOME".to_owned(), "tab\there".to_owned()];
    let quote = |text: &String| format!("'{}'", text.replace('\'', "'\\''"));
    let words: Vec<String> = arguments.iter().map(quote).collect();
    let further = json!({
        "exec": {"command": format!("\"/usr/local/bin/dump 100%\" {}", words.join(" "))},
        "env": {"NASTY": nasty},
        "envFile": "/etc/my web/50%[a]*.env",
        "systemd": {"loadCredential": {"key": "/etc/my-web/key%"}, "stateDirectory": ["web%data"]},
        "hardening": {"readWritePaths": ["/srv/my \"data\" 5%"]},
    });
    let web = service("web", "", further);
    assert_eq!(host.roll_out(&web), "deployed");
    // It is there before anything is in it.
    host.wait_until("its last file", "[ -s /var/lib/web%data/key ]");
    let read = |name: &str| {
        let output = host.0.run(&["cat", &format!("/var/lib/web%data/{name}")], b"");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(read("nasty"), nasty);
    let arrived: Vec<String> = read("arguments").split_terminator('\0').map(str::to_owned).collect();
    assert_eq!(arrived, arguments);
    assert_eq!(read("file"), "it is $HOME");
    assert_eq!(read("key"), "secret of web");
    assert_eq!(host.0.shell("systemd-analyze verify freehold-web.service 2>&1 | grep freehold || true"), "");
    let again = host.0.shell(
        "journalctl -q -o cat _PID=1 | grep -i 'freehold-web.service:.*\\(ignor\\|unknown\\|invalid\\|fail\\)' || true",
    );
    assert_eq!(again, "", "systemd has left nothing out");
}

#[test]
fn a_service_is_kept_apart_unless_it_says_otherwise() {
    let Some(host) = Driven::start() else { return };
    host.0.shell("mkdir -p /home/someone; echo private >/home/someone/file; chmod -R a+rX /home");
    let look = "exec >look; [ $(id -u) = 0 ] && echo root || echo nobody; touch /usr/x /etc/x 2>/dev/null || echo read-only; ls /home/someone 2>/dev/null || echo no home; \
                grep -E \"^(NoNewPrivs|Seccomp|CapBnd):\" /proc/self/status; umask; ls /dev/mem 2>/dev/null || echo no memory; \
                echo done >>look; exec sleep 1000";
    let web = service("web", look, json!({}));
    assert_eq!(host.roll_out(&web), "deployed");
    let looked = "grep -qx done /var/lib/freehold-web/look";
    host.wait_until("the end of its look", looked);
    let seen = host.0.shell("cat /var/lib/freehold-web/look").replace('\t', " ");
    let expected =
        "nobody\nread-only\nno home\nCapBnd: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2\n0077\nno memory\ndone";
    assert_eq!(seen, expected);
    let open = json!({"hardening": {
        "dynamicUser": false, "protectSystem": false, "protectHome": false, "noNewPrivileges": false,
        "capabilityBoundingSet": ["~"], "systemCallFilter": [], "restrictAddressFamilies": [], "umask": "0022",
        "restrictNamespaces": false, "restrictRealtime": false, "restrictSUIDSGID": false, "lockPersonality": false,
        "memoryDenyWriteExecute": false, "privateDevices": false, "protectKernelLogs": false, "protectKernelModules": false,
        "protectKernelTunables": false, "protectClock": false, "protectHostname": false,
    }});
    let mut open = service("web", look, open);
    // Nothing runs as root unless that is said.
    open["exec"]["user"] = json!("root");
    // What is there then was seen by this one.
    host.0.shell("rm /var/lib/freehold-web/look");
    assert_eq!(host.roll_out(&open), "upgraded");
    host.wait_until("the end of its look", looked);
    let seen = host.0.shell("cat /var/lib/freehold-web/look");
    assert!(seen.starts_with("root\nfile\n") && seen.contains("NoNewPrivs:\t0\nSeccomp:\t0\n0022"), "{seen}");
}

#[test]
fn a_unit_of_somebody_else_is_refused_and_left_as_it_is() {
    let Some(host) = Driven::start() else { return };
    let unit = "[Service]\nExecStart=/bin/sleep 1000\n";
    host.0.write("/etc/systemd/system/freehold-web.service", unit);
    host.0.shell("systemctl daemon-reload; systemctl start freehold-web");
    let web = service("web", ONE, json!({}));
    let before = host.0.shell("systemctl show -P MainPID freehold-web");
    let refusal = host.one(&json!({"do": "check", "service": web}));
    let text = "unit `freehold-web.service` is not ours: `/etc/systemd/system/freehold-web.service` was written by somebody else";
    assert_eq!(refusal["error"], json!(text));
    assert_eq!(host.one(&json!({"do": "install", "service": web}))["error"], json!(text));
    assert_eq!(host.one(&json!({"do": "activate", "service": web}))["error"], json!(text));
    assert_eq!(host.one(&json!({"do": "stop", "name": "web"})), json!("done"));
    assert_eq!(host.running("web"), ["foreign"]);
    assert_eq!(host.0.shell("cat /etc/systemd/system/freehold-web.service"), unit.trim_end());
    assert_eq!(host.0.shell("systemctl show -P MainPID freehold-web"), before);
    // Nor is one of ours that belongs to another service.
    assert_eq!(host.roll_out(&service("api-blue", ONE, json!({}))), "deployed");
    let http = json!({"domain": "api.test", "internalPort": 8080});
    let api = service("api", ONE, json!({"instances": "blue-green", "http": http}));
    let refusal = host.one(&json!({"do": "install", "service": api}));
    assert_eq!(
        refusal["error"],
        json!("unit `freehold-api-blue.service` is not ours: it belongs to the service `api-blue`")
    );
}

#[test]
fn a_host_that_restarts_starts_what_was_committed_and_not_what_was_tried() {
    let Some(host) = Driven::start() else { return };
    let (one, two) = (service("web", ONE, json!({})), service("web", TWO, json!({})));
    assert_eq!(host.roll_out(&one), "deployed");
    let tried = host.act(&[json!({"do": "activate", "service": two}), json!({"do": "settle", "service": two})]);
    assert_eq!(tried, [json!("done"), json!("settled")]);
    assert_eq!(host.running("web"), [command(TWO)]);
    host.0.restart();
    assert_eq!(host.running("web"), [command(ONE)]);
    assert_eq!(host.roll_out(&two), "upgraded");
    host.0.restart();
    assert_eq!(host.running("web"), [command(TWO)]);
    assert_eq!(host.roll_out(&two), "none");
}

#[test]
fn three_changed_services_cost_one_reload() {
    let Some(host) = Driven::start() else { return };
    let services: Vec<Json> = ["a", "b", "c"].iter().map(|name| service(name, ONE, json!({}))).collect();
    let action = |what: &'static str| services.iter().map(move |service| json!({"do": what, "service": service}));
    let all: Vec<Json> =
        action("install").chain(action("activate")).chain(action("settle")).chain(action("commit")).collect();
    let reloads = "journalctl -q -o cat _PID=1 | grep -c '^Reloading\\.\\.\\.$' || true";
    let before: u32 = host.0.shell(reloads).parse().unwrap();
    let said = host.act(&all);
    assert_eq!(said.iter().filter(|word| **word == json!("done")).count(), 9, "{said:?}");
    // What systemd has said may be on its way to the journal still.
    host.wait_until("the reload", &format!("[ \"$({reloads})\" -gt {before} ]"));
    assert_eq!(host.0.shell(reloads).parse::<u32>().unwrap(), before + 1);
    assert_eq!(host.running("c"), [command(ONE)]);
}

#[test]
fn what_is_installed_is_not_taken_for_what_runs() {
    let Some(host) = Driven::start() else { return };
    let (one, two) = (service("web", ONE, json!({})), service("web", TWO, json!({})));
    host.roll_out(&one);
    host.wait_for_program("freehold-web");
    assert_eq!(host.one(&json!({"do": "install", "service": two})), json!("done"));
    assert_eq!(host.running("web"), [command(ONE)]);
    let look = host.one(&json!({"do": "settle", "service": two}));
    assert!(look.as_str().unwrap().contains("runs in its place"), "{look}");
    // Back again before it was started: nothing is started anew, and the unit says what runs.
    let pid = "systemctl show -P MainPID freehold-web";
    let before = host.0.shell(pid);
    assert_eq!(host.one(&json!({"do": "activate", "service": one})), json!("done"));
    assert_eq!(host.0.shell(pid), before);
    assert_eq!(host.one(&json!({"do": "settle", "service": one})), json!("settled"));
}

#[test]
fn users_are_created_when_that_is_allowed() {
    let Some(host) = Driven::start() else { return };
    let web = service("web", ONE, json!({"exec": {"user": "pil-web", "group": "pil"}}));
    let refusal = host.one(&json!({"do": "check", "service": web}));
    assert_eq!(refusal["error"], json!("user `pil-web` does not exist"));
    assert_eq!(host.0.shell("getent passwd pil-web || true"), "");
    let said = host.act_with(&["--create-users"], &[json!({"do": "roll-out", "service": web})]);
    assert_eq!(outcome(&said[0]), "deployed");
    host.wait_for_program("freehold-web");
    let owner = "stat -c %U:%G /proc/$(systemctl show -P MainPID freehold-web)";
    assert_eq!(host.0.shell(owner), "pil-web:pil");
    assert_eq!(outcome(&host.one(&json!({"do": "remove", "name": "web"}))), "stopped");
    assert_eq!(host.0.shell("ls /etc/sysusers.d; id -un pil-web"), "pil-web", "a user that may own data stays");
}

#[test]
fn a_host_whose_etc_cannot_be_written_keeps_units_below_run() {
    let Some(host) = Driven::start() else { return };
    host.0.shell("mount --bind /etc/systemd/system /etc/systemd/system; mount -o remount,bind,ro /etc/systemd/system");
    assert_eq!(host.roll_out(&service("web", ONE, json!({}))), "deployed");
    let enabled = host.0.shell("readlink /run/systemd/system/multi-user.target.wants/freehold-web.service");
    assert_eq!(enabled, "/run/systemd/system/freehold-web.service");
    assert_eq!(outcome(&host.one(&json!({"do": "remove", "name": "web"}))), "stopped");
    assert_eq!(host.0.shell("find /run/systemd/system* -name '*freehold*'"), "");
}
