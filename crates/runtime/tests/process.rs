//! Rollouts on the runtime `process`, with real processes: deployed, upgraded, rolled back, outliving, orphaned, stopped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::{TcpListener, TcpStream};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use freehold_manifest::{Manifest, Restart, Runtime as Kind, Service, StartType};
use freehold_rollout::{
    Alert, Declared, Entry, Gate, Look, Outcome, Policy, Release, Report, Running, Settling, StopWhat, Strategy, Wish,
    decide,
};
use freehold_runtime::process::ProcessRuntime;
use freehold_runtime::{Alerts, Hands, ProbeTarget, Records, Runtime as _, ServiceRelease, Told, carry, look};
use freehold_testkit::Scratch;

/// A host with one service.
struct Host {
    scratch: Scratch,
    runtime: ProcessRuntime,
    records: Records,
    alerts: Alerts,
    /// Whether somebody else writes the record while a release is started.
    has_rival: bool,
}

impl Host {
    fn new() -> Self {
        let scratch = Scratch::new();
        let supervisor = vec![env!("CARGO_BIN_EXE_freehold-runtime-supervise").to_owned()];
        let runtime = ProcessRuntime::new(scratch.join("state"), supervisor);
        let (records, alerts) = (Records::new(scratch.join("records")), Alerts::new(scratch.join("alerts")));
        Self { scratch, runtime, records, alerts, has_rival: false }
    }

    /// Rolls the service out, or stops it when it is not declared.
    fn roll_out(&self, service: Option<&Service>) -> Report {
        let file = self.records.lock("web").unwrap();
        let declared = service.map(|service| Declared {
            release: ServiceRelease::of(service, Kind::Process).to_release("web").unwrap(),
            policy: Policy::default(),
            versions: Vec::new(),
            settings: ServiceRelease::settings(service),
        });
        let running = match self.runtime.observe("web").unwrap().into_iter().next() {
            Some(instance) => instance.release.map_or(Running::Nothing, Running::Release),
            None => Running::Nothing,
        };
        let wish = Wish { declared, ..Wish::default() };
        let decision = decide(&wish, &file.read().unwrap(), &running);
        let stop = AtomicBool::new(false);
        let port = service.and_then(|s| s.http.as_ref()).map(|http| http.internal_port);
        let mut hands = TestHands { host: self, strategy: Strategy::Restart, port };
        carry(&file, decision, &mut hands, &mut TestTold { alerts: &self.alerts }, &stop).unwrap().unwrap()
    }

    fn running(&self) -> Vec<String> {
        self.runtime.observe("web").unwrap().iter().map(|i| i.text.clone()).collect()
    }

    fn log(&self) -> String {
        fs_err::read_to_string(self.runtime.log("web")).unwrap_or_default()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.runtime.stop("web", &StopWhat::Workload);
    }
}

struct TestHands<'a> {
    host: &'a Host,
    strategy: Strategy,
    port: Option<u16>,
}

impl Hands for TestHands<'_> {
    fn prepare(&mut self, release: &Release) -> Result<(), String> {
        self.host.runtime.check("web", release).map_err(|e| e.chain())
    }
    fn stop(&mut self, what: &StopWhat) -> Result<(), String> {
        self.host.runtime.stop("web", what).map_err(|e| e.chain())
    }
    fn activate(&mut self, release: &Release) -> Result<(), String> {
        if self.host.has_rival {
            let mut record = self.host.records.read("web").unwrap();
            record.revision += 1;
            self.host.scratch.write("records/web.json", String::from_utf8(record.to_bytes()).unwrap());
        }
        self.host.runtime.activate("web", release, self.strategy).map_err(|e| e.chain())
    }
    fn settle(&mut self, release: &Release) -> Settling {
        self.host.runtime.settle("web", release)
    }
    fn probe(&mut self, _: &Release, gate: &Gate) -> Look {
        look(gate, &ProbeTarget { port: self.port, ..ProbeTarget::default() })
    }
    fn switch_routes(&mut self, _: &Release) -> Result<(), String> {
        Ok(())
    }
    fn drain(&mut self, _: &Release) -> Result<(), String> {
        Ok(())
    }
    fn commit(&mut self, release: &Release, _: &[Release]) -> Result<(), String> {
        self.host.runtime.commit("web", release).map_err(|e| e.chain())
    }
    fn snapshot(&mut self, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn restore(&mut self, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn prune_snapshots(&mut self, _: &[String]) -> Result<(), String> {
        Ok(())
    }
}

struct TestTold<'a> {
    alerts: &'a Alerts,
}

impl Told for TestTold<'_> {
    fn journal(&mut self, _: &Entry) {}
    fn alert(&mut self, alert: Option<&Alert>) {
        match alert {
            Some(alert) => self.alerts.raise(alert).unwrap(),
            None => self.alerts.clear("web").unwrap(),
        }
    }
}

/// A service that runs this shell script.
fn service(script: &str, gate: &str) -> Service {
    let json = format!(
        r#"{{"version":1,"generation":"2026-01-01T00:00:00Z","services":[{{
            "name":"web","artifact":{{"type":"nix-closure","storePath":"/nix/store/0c2mn5xhkzyyx7hbcmxgjvwqyxf1x7bd-web"}},
            "exec":{{"command":{}}},"systemd":{{"restartSec":0}},"gate":{gate}}}]}}"#,
        serde_json::to_string(&format!("/bin/sh -c '{script}'")).unwrap()
    );
    Manifest::parse(json.as_bytes()).unwrap().services.remove(0)
}

/// For what goes well: a busy machine may take its time, and nobody waits longer than that.
const SETTLING: &str = r#"{"timeoutSeconds":120,"windowSeconds":1}"#;
/// For what has to be seen to end: it may do so late on a busy machine, and as soon as it has the window is over.
const WATCHING: &str = r#"{"timeoutSeconds":120,"windowSeconds":120}"#;

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(Instant::now() < end, "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_service_is_deployed_upgraded_left_alone_and_stopped() {
    let host = Host::new();
    let first = service("echo one; exec sleep 1000", SETTLING);
    assert_eq!(host.roll_out(Some(&first)).outcome, Outcome::Deployed);
    assert_eq!(host.roll_out(Some(&first)).outcome, Outcome::None);
    // That it runs says nothing of how far it has come.
    wait_until("its word", || host.log() == "one\n");
    let before = host.running();
    let second = service("echo two; exec sleep 1000", SETTLING);
    assert_eq!(host.roll_out(Some(&second)).outcome, Outcome::Upgraded);
    assert_eq!(host.running().len(), 1);
    assert_ne!(host.running(), before);
    wait_until("the word of the second", || host.log() == "one\ntwo\n");
    assert_eq!(host.roll_out(None).outcome, Outcome::Stopped);
    assert_eq!(host.running(), Vec::<String>::new());
    assert_eq!(host.roll_out(None).outcome, Outcome::None);
}

#[test]
fn a_release_that_ends_by_itself_is_taken_back_and_not_tried_again() {
    let host = Host::new();
    let good = service("exec sleep 1000", SETTLING);
    host.roll_out(Some(&good));
    let bad = service("echo oops; echo no port; exit 7", WATCHING);
    let report = host.roll_out(Some(&bad));
    assert_eq!(report.outcome, Outcome::RolledBack);
    let reason = report.reason.unwrap();
    assert!(reason.contains("exit code 7") && reason.contains("oops / no port"), "{reason}");
    let good_release = ServiceRelease::of(&good, Kind::Process).to_release("web").unwrap();
    assert_eq!(host.runtime.observe("web").unwrap()[0].release, Some(good_release));
    assert_eq!(host.alerts.get("web").unwrap().unwrap().outcome, Outcome::RolledBack);
    let pids = host.running();
    assert_eq!(host.roll_out(Some(&bad)).outcome, Outcome::Held);
    assert_eq!(host.running(), pids);
    assert_eq!(host.roll_out(Some(&good)).outcome, Outcome::None);
    assert_eq!(host.alerts.workloads().unwrap(), Vec::<String>::new());
}

#[test]
fn a_oneshot_that_has_done_its_work_counts_as_running_and_one_that_failed_does_not() {
    let host = Host::new();
    let oneshot = |script: &str| {
        let mut service = service(script, SETTLING);
        service.systemd.start_type = Some(StartType::Oneshot);
        service.systemd.restart = Some(Restart::No);
        service
    };
    let done = oneshot("sleep 0.2; echo done");
    assert_eq!(host.roll_out(Some(&done)).outcome, Outcome::Deployed);
    assert_eq!(host.roll_out(Some(&done)).outcome, Outcome::None);
    assert_eq!((host.running(), host.log()), (vec!["its work is done".to_owned()], "done\n".to_owned()));
    let report = host.roll_out(Some(&oneshot("exit 7")));
    assert_eq!(report.outcome, Outcome::RolledBack);
    assert!(report.reason.unwrap().contains("exit code 7"));
}

#[test]
fn what_a_service_has_left_behind_in_a_session_of_its_own_ends_with_it() {
    let host = Host::new();
    let note = host.scratch.join("pid");
    let leak = format!("setsid sh -c \"echo \\$\\$ > {}; exec sleep 1000\" & exec sleep 1000", note.display());
    for how in ["asked", "signalled"] {
        host.roll_out(Some(&service(&leak, SETTLING)));
        wait_until("the note", || fs_err::read_to_string(&note).is_ok_and(|text| text.ends_with('\n')));
        let pid = fs_err::read_to_string(&note).unwrap();
        let lives = || std::path::Path::new("/proc").join(pid.trim()).exists();
        assert!(lives());
        if how == "asked" {
            assert_eq!(host.roll_out(None).outcome, Outcome::Stopped);
        } else {
            // The supervisor is the parent of what runs.
            let main = host.running()[0].split(' ').nth(1).unwrap().trim_end_matches(',').to_owned();
            let stat = fs_err::read_to_string(format!("/proc/{main}/stat")).unwrap();
            let parent = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap();
            let parent = rustix::process::Pid::from_raw(parent).unwrap();
            rustix::process::kill_process(parent, rustix::process::Signal::TERM).unwrap();
            wait_until("its end", || host.running().is_empty());
        }
        wait_until("the end of what was left behind", || !lives());
        fs_err::remove_file(&note).unwrap();
    }
}

#[test]
fn a_gate_that_stays_red_takes_a_release_back_and_a_first_one_is_stopped() {
    let host = Host::new();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    // The near end of a connection: nobody listens there, and nobody is given it meanwhile.
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let port = near.local_addr().unwrap().port();
    let gate = format!(r#"{{"tcp":{{"port":{port},"connects":2}},"timeoutSeconds":1,"windowSeconds":0}}"#);
    let deaf = service("exec sleep 1000", &gate);
    let report = host.roll_out(Some(&deaf));
    assert_eq!(report.outcome, Outcome::Failed);
    assert!(report.reason.unwrap().contains(&format!("connection 1 of 2 to port {port}")));
    assert_eq!(host.running(), Vec::<String>::new());
}

#[test]
fn a_program_that_is_not_there_is_said_before_anything_is_touched() {
    let host = Host::new();
    let good = service("exec sleep 1000", SETTLING);
    host.roll_out(Some(&good));
    let pids = host.running();
    let mut lost = good;
    lost.exec.command = "wbe".to_owned();
    let report = host.roll_out(Some(&lost));
    assert_eq!(report.outcome, Outcome::Failed);
    assert!(report.reason.unwrap().contains("/bin/wbe` is not a program"));
    assert!(!report.touched);
    assert_eq!(host.running(), pids);
}

#[test]
fn a_record_that_somebody_else_has_written_meanwhile_is_left_to_them() {
    let mut host = Host::new();
    host.has_rival = true;
    let report = host.roll_out(Some(&service("exec sleep 1000", SETTLING)));
    assert_eq!(report.outcome, Outcome::Failed);
    let reason = report.reason.unwrap();
    assert!(reason.contains("whoever wrote revision"), "{reason}");
    let stands = host.records.read("web").unwrap();
    assert!(!stands.stage.is_settled(), "what the rival wrote stands: {:?}", stands.stage);
}

#[test]
fn a_file_that_would_give_two_instances_one_port_is_refused() {
    let host = Host::new();
    let mut service = service("exec sleep 1000", SETTLING);
    let file = host.scratch.write("web.env", "A=1\nPORT=80\n");
    service.env_file = Some(file.display().to_string());
    assert_eq!(host.roll_out(Some(&service)).outcome, Outcome::Deployed, "one instance may be told so");
    service.instances = Some(freehold_manifest::Instances::BlueGreen);
    let reason = host.roll_out(Some(&service)).reason.unwrap();
    assert!(reason.ends_with("web.env` sets PORT, by which each of two instances is told its own port"), "{reason}");
}

#[test]
fn a_service_whose_supervisor_was_killed_is_found_and_replaced() {
    let host = Host::new();
    let good = service("exec sleep 1000", SETTLING);
    host.roll_out(Some(&good));
    let state = host.scratch.join("state/run/web");
    let place = fs_err::read_dir(&state).unwrap().next().unwrap().unwrap().path();
    let supervisor = supervisors_of(&place);
    assert_eq!(supervisor.len(), 1);
    kill(supervisor[0], "KILL");
    let child: serde_json::Value = serde_json::from_slice(&fs_err::read(place.join("child.json")).unwrap()).unwrap();
    let orphan = child["pid"].as_i64().unwrap();
    assert!(std::path::Path::new(&format!("/proc/{orphan}")).exists());
    assert_eq!(host.running(), Vec::<String>::new());
    let report = host.roll_out(Some(&good));
    assert!(matches!(report.outcome, Outcome::Deployed | Outcome::Upgraded), "{report:?}");
    assert_eq!(host.running().len(), 1);
    wait_until("its end", || !std::path::Path::new(&format!("/proc/{orphan}")).exists());
}

#[test]
fn a_process_that_dies_is_started_again() {
    let host = Host::new();
    let service = service("echo began; exec sleep 1000", SETTLING);
    host.roll_out(Some(&service));
    wait_until("the first start", || host.log() == "began\n");
    let pid: i32 = host.running()[0].split(' ').nth(1).unwrap().trim_end_matches(',').parse().unwrap();
    kill(pid, "KILL");
    wait_until("a second start", || host.log() == "began\nbegan\n");
    wait_until("word of it", || host.running()[0].contains("started again 1 times"));
}

/// Processes that were called with this directory.
fn supervisors_of(place: &std::path::Path) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&words).contains(&*place.to_string_lossy()) {
            found.push(pid);
        }
    }
    found
}

fn kill(pid: i32, signal: &str) {
    assert!(
        std::process::Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status().unwrap().success()
    );
}

#[test]
fn a_gates_program_that_leaves_a_child_behind_keeps_nobody_waiting() {
    let gate = |script: &str| -> Gate {
        serde_json::from_value(
            serde_json::json!({"exec": {"command": ["/bin/sh", "-c", script]}, "timeoutSeconds": 90}),
        )
        .unwrap()
    };
    let begin = Instant::now();
    let left = look(&gate("sleep 1000 & echo no >&2; exit 1"), &ProbeTarget::default());
    assert_eq!(left, Look::Red { reason: "`/bin/sh` ended with exit status: 1: no".to_owned() });
    // Far less than the child lives, and no measure of speed.
    assert!(begin.elapsed() < Duration::from_secs(100));
    let much = look(&gate("head -c 1000000 /dev/zero >&2"), &ProbeTarget::default());
    assert_eq!(much, Look::Green);
    let env = vec![("PORT".to_owned(), "81".to_owned())];
    assert_eq!(look(&gate("test $PORT = 81"), &ProbeTarget { env, ..ProbeTarget::default() }), Look::Green);
}
