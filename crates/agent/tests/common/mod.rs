//! A host for the tests: a bucket in a directory, a Nix store of its own, a runtime and a router that only remember what they were told.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use freehold_agent::{Agent, AgentError, AgentOptions, HostReport, ReportPlace, Round, Route, Router, Trust, Voice};
use freehold_cache::{Depot, PushOptions};
use freehold_manifest::{Edit, Runtime as Kind, ServiceFlags};
use freehold_nar::{Compression, SecretKey, StorePath, TrustedKeys};
use freehold_publish::{Board, Publisher};
use freehold_rollout::{Release, Settling, StopWhat, Strategy};
use freehold_runtime::{Instance, Runtime, RuntimeError};
use freehold_store::Nix;
use freehold_testkit::{Scratch, nixes};
use serde_json::{Value as Json, json};

pub(crate) struct Farm {
    pub(crate) scratch: Scratch,
    pub(crate) nix: Nix,
    pub(crate) board: Board,
    pub(crate) key: SecretKey,
    pub(crate) world: Arc<World>,
    pub(crate) said: Arc<Mutex<Vec<String>>>,
}

/// What runs, and what is to go wrong.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) instances: Mutex<BTreeMap<String, Vec<Release>>>,
    /// Parts of store paths that do not run.
    pub(crate) broken: Mutex<BTreeSet<String>>,
    /// How each activation was asked for.
    pub(crate) strategies: Mutex<Vec<Strategy>>,
    pub(crate) routes: Mutex<Vec<Route>>,
    pub(crate) router_is_away: Mutex<bool>,
    /// How long each takes to end.
    pub(crate) slowness: Mutex<Duration>,
    /// Services whose routes cannot be made.
    pub(crate) unroutable: Mutex<BTreeSet<String>>,
}

impl Farm {
    pub(crate) fn new() -> Self {
        let scratch = Scratch::new();
        let stock = nixes().last().expect("a Nix");
        let nix = Nix::at(&stock.bin).with_environment(stock.env(scratch.path()));
        let board = Board::new(Depot::open(&format!("file://{}", scratch.join("bucket").display())).unwrap());
        let key = SecretKey::generate("k").unwrap();
        Self { scratch, nix, board, key, world: Arc::default(), said: Arc::default() }
    }

    /// Publishes a service whose artifact is a directory of this name; further fields by their pointers. Gives its store path.
    pub(crate) fn publish(&self, name: &str, artifact: &str, fields: &Json) -> String {
        let program = self.scratch.write(format!("{artifact}/bin/run"), artifact);
        let mut command = self.nix.command("nix-store");
        let output = command.arg("--add").arg(program.parent().unwrap().parent().unwrap()).output().unwrap();
        let path = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        let roots = [StorePath::parse(&path).unwrap()];
        let options = PushOptions { compression: Compression::Zstd, index: None, recheck: false };
        let stop = AtomicBool::new(false);
        freehold_cache::push(&self.nix, self.board.depot(), &roots, &self.key, &options, &|_| {}, &stop).unwrap();
        let mut set = vec![(vec!["gate".to_owned()], json!({"windowSeconds": 0, "timeoutSeconds": 1}))];
        for (field, value) in fields.as_object().cloned().unwrap_or_default() {
            set.push((vec![field], value));
        }
        let flags = ServiceFlags {
            store_path: Some(path.clone()),
            command: Some("run".to_owned()),
            set,
            ..ServiceFlags::default()
        };
        self.edit(|before| {
            let known = before.and_then(|manifest| manifest.service(name).ok());
            flags.apply(name, known).map(|service| Edit::Put(Box::new(service)))
        });
        path
    }

    pub(crate) fn edit(
        &self,
        edit: impl Fn(Option<&freehold_manifest::Manifest>) -> Result<Edit, freehold_manifest::ManifestError>,
    ) {
        let publisher = Publisher { key: &self.key, trusted: &TrustedKeys::default(), adopts: false };
        self.board.publish(Some(&publisher), &edit).unwrap();
    }

    pub(crate) fn options(&self) -> AgentOptions {
        AgentOptions {
            board: self.board.clone(),
            host: "a".to_owned(),
            trust: Trust { unsigned: false, rollback: false },
            trusted: TrustedKeys::new(vec![self.key.public()]),
            state: self.scratch.join("state"),
            runtimes: vec![(Kind::Process, Arc::clone(&self.world) as Arc<dyn Runtime>)],
            router: Some(Arc::new(Switch(Arc::clone(&self.world)))),
            nix: self.nix.clone(),
            poll: Duration::from_secs(300),
            retry: false,
            report: None,
            notify: None,
        }
    }

    /// One round of an agent that is told this.
    pub(crate) fn round_with(&self, options: AgentOptions) -> Result<Round, AgentError> {
        let stop = Arc::new(AtomicBool::new(false));
        let voice = Box::new(Ear(Arc::clone(&self.said)));
        Agent::open(options, voice, stop)?.once().map(|round| round.expect("nobody stops it"))
    }

    pub(crate) fn open(&self, options: AgentOptions) -> Agent {
        Agent::open(options, Box::new(Ear(Arc::clone(&self.said))), Arc::default()).unwrap()
    }

    /// Runs an agent until it has told of so many rounds: nothing for one that was done, what went wrong otherwise.
    pub(crate) fn run(&self, options: AgentOptions, rounds: usize) -> Vec<Result<(), String>> {
        self.run_with(options, rounds, |_| {})
    }

    /// The same; `after` is called with the number of each, from 1 on.
    pub(crate) fn run_with(
        &self,
        options: AgentOptions,
        rounds: usize,
        after: impl Fn(usize),
    ) -> Vec<Result<(), String>> {
        let stop = Arc::new(AtomicBool::new(false));
        let voice = Box::new(Ear(Arc::clone(&self.said)));
        let mut agent = Agent::open(options, voice, Arc::clone(&stop)).unwrap();
        let mut told = Vec::new();
        agent.run(&AtomicBool::new(false), &mut |result| {
            told.push(result.map(drop).map_err(ToString::to_string));
            after(told.len());
            stop.store(told.len() >= rounds, std::sync::atomic::Ordering::SeqCst);
        });
        told
    }

    /// How many instances of a service run.
    pub(crate) fn running(&self, name: &str) -> usize {
        self.world.instances.lock().unwrap().get(name).map_or(0, Vec::len)
    }

    /// The domains that are routed, in order.
    pub(crate) fn domains(&self) -> Vec<String> {
        let mut domains: Vec<String> =
            self.world.routes.lock().unwrap().iter().flat_map(|route| route.domains.clone()).collect();
        domains.sort();
        domains
    }

    pub(crate) fn round(&self) -> Round {
        self.round_with(self.options()).unwrap()
    }

    /// What went wrong, with its causes.
    pub(crate) fn refusal(&self, options: AgentOptions) -> String {
        freehold_model::chain(&self.round_with(options).unwrap_err())
    }

    /// What the host has reported, if it has.
    pub(crate) fn report(&self) -> Option<HostReport> {
        self.reports().read("a").unwrap()
    }

    /// Where it reports to.
    pub(crate) fn reports(&self) -> ReportPlace {
        ReportPlace::open(&format!("file://{}", self.scratch.join("reports").display()), None).unwrap()
    }

    /// The names of the GC roots of a service.
    pub(crate) fn roots(&self, name: &str) -> Vec<String> {
        names(self.nix.state_dir().join("gcroots/freehold").join(name))
    }

    /// What the profile of a service leads to.
    pub(crate) fn profile(&self, name: &str) -> Option<String> {
        let value = Nix::profile_value(&self.nix.state_dir().join("profiles/freehold").join(name));
        value.map(|path| path.display().to_string())
    }

    /// The alerts that stand.
    pub(crate) fn alerts(&self) -> Vec<String> {
        names(self.scratch.join("state/alerts"))
    }
}

fn names(dir: PathBuf) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

impl Runtime for World {
    fn name(&self) -> &'static str {
        "process"
    }

    fn workloads(&self) -> Result<Vec<String>, RuntimeError> {
        let all = self.instances.lock().unwrap();
        Ok(all.iter().filter(|(_, running)| !running.is_empty()).map(|(name, _)| name.clone()).collect())
    }

    fn observe(&self, workload: &str) -> Result<Vec<Instance>, RuntimeError> {
        let running = self.instances.lock().unwrap().get(workload).cloned().unwrap_or_default();
        let instance = |release: Release| Instance { release: Some(release), port: None, text: "here".to_owned() };
        Ok(running.into_iter().map(instance).collect())
    }

    fn check(&self, _: &str, release: &Release) -> Result<(), RuntimeError> {
        match release.payload()["exec"]["command"].as_str() {
            Some(command @ "unprepared") => {
                Err(RuntimeError::NoProgram { program: command.to_owned(), there: String::new() })
            }
            _ => Ok(()),
        }
    }

    fn activate(&self, workload: &str, release: &Release, strategy: Strategy) -> Result<(), RuntimeError> {
        self.strategies.lock().unwrap().push(strategy);
        let mut all = self.instances.lock().unwrap();
        let port = |release: &Release| release.payload()["port"].clone();
        let is_taken = |(name, running): (&String, &Vec<Release>)| {
            name != workload && running.iter().any(|other| !port(other).is_null() && port(other) == port(release))
        };
        if all.iter().any(is_taken) {
            self.broken.lock().unwrap().insert(release.id().to_owned());
        }
        let running = all.entry(workload.to_owned()).or_default();
        if strategy == Strategy::Restart {
            running.clear();
        }
        running.push(release.clone());
        Ok(())
    }

    fn stop(&self, workload: &str, what: &StopWhat) -> Result<(), RuntimeError> {
        std::thread::sleep(*self.slowness.lock().unwrap());
        let mut all = self.instances.lock().unwrap();
        let running = all.entry(workload.to_owned()).or_default();
        running.retain(|one| matches!(what, StopWhat::AllBut(release) if one.is(release)));
        Ok(())
    }

    fn settle(&self, _: &str, release: &Release) -> Settling {
        if self.broken.lock().unwrap().iter().any(|part| release.id().contains(part)) {
            return Settling::Broken { reason: "it fell over".to_owned() };
        }
        Settling::Settled
    }

    fn commit(&self, _: &str, _: &Release) -> Result<(), RuntimeError> {
        Ok(())
    }
}

struct Switch(Arc<World>);

impl Router for Switch {
    fn sync(&self, wanted: &[Route]) -> Result<(), String> {
        if *self.0.router_is_away.lock().unwrap() {
            return Err("nobody answers".to_owned());
        }
        *self.0.routes.lock().unwrap() = wanted.to_vec();
        Ok(())
    }

    fn unusable(&self, wanted: &[Route]) -> Vec<(String, String)> {
        let names = self.0.unroutable.lock().unwrap();
        let bad = wanted.iter().filter(|route| names.contains(&route.service));
        bad.map(|route| (route.service.clone(), format!("`{}` is odd", route.service))).collect()
    }

    fn switch(&self, _: &str, _: u16) -> Result<(), String> {
        match *self.0.router_is_away.lock().unwrap() {
            true => Err("nobody answers".to_owned()),
            false => Ok(()),
        }
    }

    fn has(&self, service: &str) -> Option<bool> {
        Some(self.0.routes.lock().unwrap().iter().any(|route| route.service == service))
    }

    fn drain(&self, _: u16) -> Result<(), String> {
        Ok(())
    }
}

struct Ear(Arc<Mutex<Vec<String>>>);

impl Voice for Ear {
    fn say(&self, workload: Option<&str>, text: &str) {
        self.0.lock().unwrap().push(format!("{}: {text}", workload.unwrap_or("agent")));
    }
}
