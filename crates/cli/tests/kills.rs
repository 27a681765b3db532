//! kill -9 of an agent in the middle of whatever it does, while services are published, broken, mended and removed. What runs at the end
//! is what is declared, or the last good release with an alert; nothing is orphaned, and nothing is left behind.
//!
//! `FREEHOLD_KILLS=100 cargo test -p freehold-cli --test kills` kills as often as that (8 times otherwise), `FREEHOLD_SEED=7` begins
//! elsewhere. A seed fixes what is published and the pauses; what exactly a kill hits is up to the machine.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a panic is the report of a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use freehold_testkit::{Guarded, Nix, Rng, Scratch, freehold_binary, nixes, run_limited};
use serde_json::Value as Json;

const LIMIT: Duration = Duration::from_secs(300);
const SERVICES: [&str; 2] = ["api", "web"];

struct Farm {
    scratch: Scratch,
    nix: &'static Nix,
    /// Store paths of two good releases and a bad one.
    releases: [String; 3],
}

impl Farm {
    fn new() -> Self {
        let scratch = Scratch::new();
        let mut farm = Self { nix: nixes().first().unwrap(), releases: Default::default(), scratch };
        farm.run(&["cache", "keygen", "k", "--dir", "keys"]);
        farm.releases = [("one", ""), ("two", ""), ("bad", "exit 7;")].map(|(name, code)| farm.build(name, code));
        farm
    }

    fn build(&self, name: &str, code: &str) -> String {
        let program = format!("#!/bin/sh\n{code} exec sleep 98765\n");
        let file = self.scratch.write(format!("{name}/bin/run"), &program);
        let mut command = Command::new("chmod");
        run_limited(command.arg("+x").arg(&file), b"", LIMIT);
        let mut command = self.command(&self.nix.bin.join("nix-store"));
        let output = run_limited(command.arg("--add").arg(self.scratch.join(name)), b"", LIMIT);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn command(&self, program: &Path) -> Command {
        let home = self.scratch.dir("home");
        let mut command = Command::new(program);
        command.current_dir(self.scratch.path()).env_clear().env("HOME", &home).envs(self.nix.env(&home));
        command.env("PATH", format!("{}:/usr/bin:/bin", self.nix.bin.display()));
        command
    }

    fn run(&self, words: &[&str]) -> std::process::Output {
        let output = run_limited(self.command(freehold_binary()).args(words), b"", LIMIT);
        assert!(
            matches!(output.status.code(), Some(0 | 3)),
            "{words:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    fn bucket(&self) -> String {
        format!("file://{}", self.scratch.join("bucket").display())
    }

    fn agent(&self, words: &[&str]) -> Command {
        let mut command = self.command(freehold_binary());
        command.args(["agent"]).args(words).args(["--from", &self.bucket(), "--host", "a"]);
        command.args(["--trusted-key", "keys/k.pub", "--state", "state", "--runtime", "process"]);
        command
    }

    /// Publishes a release of a service, or takes it out.
    fn publish(&self, service: &str, release: Option<&str>) {
        let bucket = self.bucket();
        let Some(path) = release else {
            self.run(&["manifest", "remove", service, "--at", &bucket, "--key", "keys/k.sec"]);
            return;
        };
        // One that ends at once is seen to end as soon as it has, however late that is on a busy machine: its window costs no time. The
        // others need not be watched.
        let window = if self.releases[2..].iter().any(|bad| bad == path) { 120 } else { 0 };
        let gate = &format!(r#"{{"timeoutSeconds":5,"windowSeconds":{window}}}"#);
        let words = ["publish", service, "--to", &bucket, "--key", "keys/k.sec", "--command", "run", "--gate", gate];
        self.run(&[&words[..], &["--store-path", path]].concat());
    }

    /// What `run` has in its state for each service: one directory per instance.
    fn instances(&self, service: &str) -> Vec<PathBuf> {
        entries(&self.scratch.join("state/run").join(service))
    }

    /// Every process of this test's services, by the store path that it was started from.
    fn processes(&self) -> Vec<(i32, String)> {
        let ours: Vec<String> =
            SERVICES.iter().map(|name| self.scratch.join("state/data").join(name).display().to_string()).collect();
        let numbers = entries(Path::new("/proc")).into_iter().filter_map(|dir| dir.file_name()?.to_str()?.parse().ok());
        let of = |pid: i32| {
            let cwd = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?.display().to_string();
            ours.contains(&cwd).then_some((pid, cwd))
        };
        numbers.filter_map(of).collect()
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        // A test that fails leaves its services running: an agent that is told to stop ends them.
        let mut stopped = self.agent(&["run"]);
        let mut guarded = Guarded::spawn(stopped.stdout(Stdio::null()).stderr(Stdio::null()));
        std::thread::sleep(Duration::from_millis(500));
        guarded.signal("TERM");
        guarded.wait_at_most(Duration::from_secs(30));
        for (pid, _) in self.processes() {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn an_agent_that_is_killed_at_any_moment_ends_up_with_what_is_declared() {
    let farm = Farm::new();
    let (kills, seed) = (number("FREEHOLD_KILLS", 8), number("FREEHOLD_SEED", 1));
    let mut rng = Rng::new(seed);
    let mut declared: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..kills {
        let service = *rng.pick(&SERVICES);
        let release = rng.below(4);
        match farm.releases.get(release) {
            Some(path) => {
                farm.publish(service, Some(path));
                declared.insert(service, release);
            }
            None if declared.remove(service).is_some() => farm.publish(service, None),
            None => continue,
        }
        let log = std::fs::OpenOptions::new().create(true).append(true).open(farm.scratch.join("agent.log")).unwrap();
        let mut command = farm.agent(&["run", "--poll", "50ms", "--leave-running"]);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let mut agent = Guarded::spawn(&mut command);
        // The whole of a round takes about a third of a second here.
        std::thread::sleep(Duration::from_millis(rng.below(400) as u64));
        agent.signal("KILL");
        assert!(agent.wait_at_most(LIMIT).is_some());
    }
    check(&farm, &declared, seed);
    for service in SERVICES {
        if declared.contains_key(service) {
            farm.publish(service, None);
        }
    }
    check(&farm, &BTreeMap::new(), seed);
}

/// Lets an agent do its rounds, and looks whether all is as it should be.
fn check(farm: &Farm, declared: &BTreeMap<&str, usize>, seed: u64) {
    let mut last = Json::Null;
    // The first finishes what was interrupted; the second has nothing to do but to look.
    for _ in 0..2 {
        let output = run_limited(&mut farm.agent(&["once", "--json"]), b"", LIMIT);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        last = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("seed {seed}: {error}: {said}"));
    }
    let what = format!("seed {seed}: {last:#}");
    let mut running = BTreeSet::new();
    for (service, release) in declared {
        let state = last["services"]
            .as_array()
            .unwrap()
            .iter()
            .find(|state| state["name"] == **service)
            .unwrap_or_else(|| panic!("{what}"));
        let path = &farm.releases[*release];
        assert_eq!(state["declared"], path.as_str(), "{what}");
        if *release < 2 {
            assert_eq!((&state["running"], &state["healthy"]), (&path.as_str().into(), &true.into()), "{what}");
            assert!(state["alert"].is_null(), "{what}");
        } else {
            // The bad one never stays: the last good one runs, or nothing where there is none, and an alert stands.
            assert!(state["alert"].is_object() && state["running"] != path.as_str(), "{what}");
        }
        let instances = usize::from(!state["running"].is_null());
        assert_eq!(farm.instances(service).len(), instances, "{what}");
        if instances == 1 {
            running.insert(farm.scratch.join("state/data").join(service).display().to_string());
        }
    }
    let processes = farm.processes();
    let places: BTreeSet<String> = processes.iter().map(|(_, place)| place.clone()).collect();
    assert_eq!((processes.len(), &places), (running.len(), &running), "{what}");
    let staging = entries(&farm.scratch.join("state/staging"));
    assert!(staging.is_empty(), "{staging:?} is left: {what}");
    let alerts: Vec<PathBuf> = entries(&farm.scratch.join("state/alerts"));
    assert_eq!(alerts.len(), declared.values().filter(|release| **release == 2).count(), "{alerts:?}: {what}");
    let roots = entries(&farm.root_dir());
    let roots: Vec<&PathBuf> = roots.iter().filter(|root| !declared.keys().any(|name| root.ends_with(name))).collect();
    assert!(roots.is_empty(), "{roots:?} are left: {what}");
    let unfinished = Command::new("find").arg(farm.scratch.join("state")).args(["-name", "*.new"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&unfinished.stdout), "", "{what}");
}

impl Farm {
    fn root_dir(&self) -> PathBuf {
        let env = self.nix.env(&self.scratch.dir("home"));
        let state = env.iter().find(|(name, _)| name == "NIX_STATE_DIR").map(|(_, dir)| PathBuf::from(dir));
        state.unwrap_or_else(|| self.scratch.join("home/nix/var/nix")).join("gcroots/freehold")
    }
}
