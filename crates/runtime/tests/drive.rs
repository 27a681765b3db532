//! Drives the runtime `systemd` on the host it runs on, for the tests: one action per line in, what came of it per line out.
//!
//! `freehold-runtime-drive STATE`; an action is `{"do": "roll-out", "service": {…}}`, see [`act`].
#![allow(clippy::print_stdout, clippy::expect_used, clippy::unwrap_used, reason = "a program of the tests")]

use std::io::BufRead as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use freehold_manifest::{Runtime as Kind, Service};
use freehold_rollout::{
    Alert, Declared, Entry, Gate, Look, Policy, Release, Running, Settling, StopWhat, Strategy, Wish, decide,
};
use freehold_runtime::systemd::SystemdRuntime;
use freehold_runtime::{Hands, ProbeTarget, Records, Runtime as _, RuntimeError, ServiceRelease, Told, carry, look};
use serde_json::{Value as Json, json};

fn main() {
    let state = PathBuf::from(std::env::args_os().nth(1).expect("a state directory"));
    let creates_users = std::env::args_os().any(|word| word == "--create-users");
    let driver = Driver {
        runtime: SystemdRuntime::new(&state).creating_users(creates_users),
        records: Records::new(state.join("records")),
    };
    for line in std::io::stdin().lock().lines() {
        let action: Json = serde_json::from_str(&line.expect("a line")).expect("an action");
        println!("{}", driver.act(&action));
    }
}

struct Driver {
    runtime: SystemdRuntime,
    records: Records,
}

impl Driver {
    fn act(&self, action: &Json) -> Json {
        let service = || serde_json::from_value::<Service>(action["service"].clone()).expect("a service");
        let name = || action["name"].as_str().map_or_else(|| service().name, str::to_owned);
        let release = || ServiceRelease::of(&service(), Kind::Systemd).to_release(&service().name).expect("a release");
        let strategy = || ServiceRelease::settings(&service()).strategy;
        match action["do"].as_str() {
            Some("roll-out") => self.roll_out(&name(), Some(&service())),
            Some("remove") => self.roll_out(&name(), None),
            Some("observe") => match self.runtime.observe(&name()) {
                Ok(found) => found.iter().map(|one| self.instance(one)).collect(),
                Err(error) => said(Err(error)),
            },
            Some("check") => said(self.runtime.check(&name(), &release())),
            Some("install") => said(self.runtime.install(&name(), &release(), strategy())),
            Some("activate") => said(self.runtime.activate(&name(), &release(), strategy())),
            Some("commit") => said(self.runtime.commit(&name(), &release())),
            Some("stop") => said(self.runtime.stop(&name(), &StopWhat::Workload)),
            Some("settle") => json!(self.settle(&name(), &release())),
            Some("kill") => json!(self.kill(&name(), &release())),
            other => json!(format!("unknown action {other:?}")),
        }
    }

    fn settle(&self, name: &str, release: &Release) -> String {
        match self.runtime.settle(name, release) {
            Settling::Settled => "settled".to_owned(),
            Settling::Busy { reason } => format!("busy: {reason}"),
            Settling::Broken { reason } => format!("broken: {reason}"),
        }
    }

    /// Kills a service; what is seen of it, one after the other, until it has been broken and has settled again. It is looked at from
    /// here, and all along: on a busy machine it could have settled before somebody outside has looked even once.
    fn kill(&self, name: &str, release: &Release) -> Vec<String> {
        let unit = format!("freehold-{name}.service");
        let mut command = Command::new("systemctl");
        command.args(["kill", "--signal=KILL", &unit]).stdout(Stdio::null());
        assert!(command.status().expect("systemctl").success(), "{unit} cannot be killed");
        let end = Instant::now() + Duration::from_secs(90);
        let mut seen: Vec<String> = Vec::new();
        while Instant::now() < end {
            let look = self.settle(name, release);
            let is_over = look == "settled" && seen.iter().any(|look| look.starts_with("broken: "));
            if seen.last() != Some(&look) {
                seen.push(look);
            }
            if is_over {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        seen
    }

    fn instance(&self, instance: &freehold_runtime::Instance) -> Json {
        let words = instance.release.as_ref().map(|r| r.payload()["exec"]["command"].clone());
        json!({"command": words, "port": instance.port, "text": instance.text})
    }

    fn roll_out(&self, name: &str, service: Option<&Service>) -> Json {
        let file = self.records.lock(name).expect("a record");
        let declared = service.map(|service| Declared {
            release: ServiceRelease::of(service, Kind::Systemd).to_release(name).expect("a release"),
            policy: Policy::default(),
            versions: Vec::new(),
            settings: ServiceRelease::settings(service),
        });
        let strategy = service.map_or(Strategy::Restart, |service| ServiceRelease::settings(service).strategy);
        let mut hands = DriverHands { driver: self, name, strategy, events: Vec::new() };
        let stop = AtomicBool::new(false);
        // What was left in the middle is brought to its end first.
        loop {
            let running = match self.runtime.observe(name) {
                Ok(found) => running(found),
                Err(error) => return said(Err(error)),
            };
            let wish = Wish { declared: declared.clone(), ..Wish::default() };
            let decision = decide(&wish, &file.read().unwrap(), &running);
            let goes_on = decision == freehold_rollout::Decision::Resume;
            let report = carry(&file, decision, &mut hands, &mut Silent, &stop).unwrap();
            if !goes_on {
                let report = report.expect("a report");
                return json!({"outcome": report.outcome, "reason": report.reason, "events": hands.events});
            }
        }
    }
}

fn running(found: Vec<freehold_runtime::Instance>) -> Running {
    match found.into_iter().next() {
        None => Running::Nothing,
        Some(freehold_runtime::Instance { release: Some(release), .. }) => Running::Release(release),
        Some(foreign) => Running::Foreign { what: foreign.text },
    }
}

fn said(result: Result<(), RuntimeError>) -> Json {
    match result {
        Ok(()) => json!("done"),
        Err(error) => json!({"error": error.chain(), "hint": error.hint()}),
    }
}

struct DriverHands<'a> {
    driver: &'a Driver,
    name: &'a str,
    strategy: Strategy,
    /// What was seen on the way.
    events: Vec<String>,
}

impl DriverHands<'_> {
    fn see(&mut self, what: &str) {
        let units = self.driver.runtime.observe(self.name).unwrap();
        let units: Vec<&str> = units.iter().filter_map(|one| one.text.split([' ', ',']).nth(1)).collect();
        self.events.push(format!("{what}: {}", units.join(" ")));
    }
}

impl Hands for DriverHands<'_> {
    fn prepare(&mut self, release: &Release) -> Result<(), String> {
        self.driver.runtime.check(self.name, release).map_err(|e| e.chain())
    }
    fn stop(&mut self, what: &StopWhat) -> Result<(), String> {
        self.driver.runtime.stop(self.name, what).map_err(|e| e.chain())
    }
    fn activate(&mut self, release: &Release) -> Result<(), String> {
        self.driver.runtime.activate(self.name, release, self.strategy).map_err(|e| e.chain())
    }
    fn settle(&mut self, release: &Release) -> Settling {
        self.driver.runtime.settle(self.name, release)
    }
    fn probe(&mut self, release: &Release, gate: &Gate) -> Look {
        let found = self.driver.runtime.observe(self.name).unwrap();
        let port = found.iter().find(|one| one.release.as_ref() == Some(release)).and_then(|one| one.port);
        look(gate, &ProbeTarget { port, ..ProbeTarget::default() })
    }
    fn switch_routes(&mut self, _: &Release) -> Result<(), String> {
        self.see("routes switch");
        Ok(())
    }
    fn drain(&mut self, _: &Release) -> Result<(), String> {
        self.see("drain");
        Ok(())
    }
    fn commit(&mut self, release: &Release, _: &[Release]) -> Result<(), String> {
        self.see("commit");
        self.driver.runtime.commit(self.name, release).map_err(|e| e.chain())
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

struct Silent;

impl Told for Silent {
    fn journal(&mut self, _: &Entry) {}
    fn alert(&mut self, _: Option<&Alert>) {}
}
