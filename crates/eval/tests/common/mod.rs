//! A small engine for tests: it wants everything, publishes what a test says, and collects what is said.
#![allow(
    unreachable_pub,
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "shared by several test programs"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use freehold_eval::{EvalError, Evaluator, Event, NixPrograms, Options};
use freehold_model::{Attrs, Declaration, MemberPath, OutputRef, Structure, Value};

/// Longest time that any test waits for one event, and for all of them: only what hangs takes so long, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(300);

/// The Nix versions at hand; what is missing is reported as not run.
pub fn nixes() -> Vec<(String, PathBuf)> {
    let nixes: Vec<_> = freehold_testkit::nixes().iter().map(|nix| (nix.name.clone(), nix.bin.clone())).collect();
    assert!(!nixes.is_empty(), "no Nix at all: apt-get install nix-bin");
    nixes
}

pub fn bridge() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_freehold-eval-bridge"))
}

/// Variables that give Nix a store of its own in `dir`, so that no test writes to the machine's.
pub fn private_env(dir: &Path) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    let private = |name: &str| dir.join(name).into_os_string();
    vec![
        ("NIX_STORE_DIR".into(), private("store")),
        ("NIX_STATE_DIR".into(), private("var/nix")),
        ("NIX_LOG_DIR".into(), private("var/log/nix")),
        ("NIX_CONF_DIR".into(), private("etc")),
        ("HOME".into(), private("home")),
        ("XDG_CACHE_HOME".into(), private("cache")),
        ("NIX_CONFIG".into(), "build-users-group =\nsubstituters =\nsandbox = false".into()),
    ]
}

/// The Nix helpers that tests write roots with: `res`, `root` and `outputs`.
pub const PRELUDE: &str = r#"
let
  res = inputs: { resource = { provider = { type = "builtin"; name = "local"; }; type = "note"; inherit inputs; outputsSkeleton = { id = { }; other = { }; }; state = null; }; };
  comp = members: { inherit members; };
  root = f: { _type = "nixops4Component"; rootFunction = { outputValues, ... }: f outputValues; getProviders = _: { }; };
  freeholdRoot = f: root null // { freehold = 1; rootFunction = { outputValues, freehold, ... }: f outputValues freehold; };
in
"#;

thread_local! {
    /// Whether [`Bench::want`] asks for the members of the root together with it.
    pub static WHOLE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

pub struct Bench {
    pub evaluator: Option<Evaluator>,
    pub events: Receiver<Event>,
    pub dir: tempfile::TempDir,
    pub said: Said,
    pub answers: BTreeMap<MemberPath, Attrs>,
    pub last: u64,
}

#[derive(Default)]
pub struct Said {
    pub structures: BTreeMap<MemberPath, Structure>,
    pub declared: BTreeMap<MemberPath, (Declaration, BTreeSet<OutputRef>)>,
    pub waiting: BTreeMap<MemberPath, Needs>,
    pub failed: BTreeMap<MemberPath, EvalError>,
    pub fatal: Option<EvalError>,
    pub log: Vec<String>,
    pub times_declared: usize,
}

pub struct Needs {
    pub partial: Option<Declaration>,
    pub structure: bool,
    pub needs: BTreeSet<OutputRef>,
    pub suspected: bool,
}

pub fn path(text: &str) -> MemberPath {
    text.parse().unwrap()
}

pub fn outputs(of: &[(&str, Value)]) -> Attrs {
    of.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

impl Bench {
    pub fn new(nix: &Path, root: &str) -> Self {
        Self::with(nix, &format!("{PRELUDE}{root}"), |_| {})
    }

    pub fn with(nix: &Path, file: &str, change: impl FnOnce(&mut Options)) -> Self {
        Self::try_with(nix, file, change).unwrap()
    }

    pub fn try_with(nix: &Path, file: &str, change: impl FnOnce(&mut Options)) -> Result<Self, EvalError> {
        let dir = tempfile::Builder::new().prefix("fh-eval-test-").tempdir_in("/tmp").unwrap();
        let home = dir.path().join("home");
        let deployment = dir.path().join("deployment");
        std::fs::create_dir_all(&home).unwrap();
        std::fs::create_dir_all(&deployment).unwrap();
        let path = deployment.join("freehold.nix");
        std::fs::write(&path, file).unwrap();
        let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../nix").canonicalize().unwrap();
        let mut options = Options::for_file(&path, &library, vec![bridge().into()], NixPrograms::in_dir(nix));
        options.env = private_env(dir.path());
        change(&mut options);
        let (sender, events) = channel();
        let evaluator = Evaluator::start(options, Box::new(move |event| drop(sender.send(event))))?;
        Ok(Self { evaluator: Some(evaluator), events, dir, said: Said::default(), answers: BTreeMap::new(), last: 0 })
    }

    pub fn evaluator(&self) -> &Evaluator {
        self.evaluator.as_ref().unwrap()
    }

    pub fn want(&mut self, members: Vec<MemberPath>) {
        self.last = match WHOLE.get() && members == [MemberPath::root()] {
            true => self.evaluator().want_whole(MemberPath::root(), BTreeSet::new()),
            false => self.evaluator().want(members, None),
        };
    }

    pub fn publish(&mut self, member: &str, of: &[(&str, Value)]) {
        self.last = self.evaluator().publish(path(member), outputs(of));
    }

    pub fn next(&mut self) -> Event {
        self.events.recv_timeout(PATIENCE).expect("the evaluator said nothing for minutes")
    }

    /// Wants the root and all below, publishes `answers` as members are declared, until nothing moves.
    pub fn settle(&mut self) -> &Said {
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < PATIENCE, "the evaluator does not come to rest");
            if self.step() {
                return &self.said;
            }
        }
    }

    /// Lets Nix start and read the root, and nothing more.
    pub fn settle_root(&mut self) {
        self.last = self.evaluator().want(vec![MemberPath::root()], None);
        while !matches!(self.next(), Event::Quiet { .. }) {}
    }

    /// Takes one event in; whether all has come to rest.
    pub fn step(&mut self) -> bool {
        match self.next() {
            Event::Structure { member, structure, .. } => {
                let children: Vec<_> = structure.members.iter().map(|name| member.child(name)).collect();
                self.said.waiting.remove(&member);
                self.said.structures.insert(member, structure);
                if !children.is_empty() {
                    self.want(children);
                }
            }
            Event::Declared { member, declaration, edges } => {
                self.said.times_declared += 1;
                self.said.waiting.remove(&member);
                if let Some(outputs) = self.answers.get(&member) {
                    self.last = self.evaluator().publish(member.clone(), outputs.clone());
                }
                self.said.declared.insert(member, (declaration, edges));
            }
            Event::Waiting { member, partial, structure, needs, suspected } => {
                self.said.waiting.insert(member, Needs { partial, structure, needs, suspected });
            }
            Event::Failed { member, error } => {
                self.said.failed.insert(member, error);
            }
            Event::Fatal { error } => {
                self.said.fatal = Some(error);
                return true;
            }
            Event::Begun => {}
            Event::UserLog { text } => self.said.log.push(text),
            Event::Quiet { seen } => return seen >= self.last,
        }
        false
    }
}

/// The Nix processes that evaluate for this bench, found by the directory they run in.
pub fn nix_processes(bench: &Bench) -> Vec<u32> {
    let deployment = bench.dir.path().join("deployment");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let here = std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == deployment);
        let cmdline = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if here && String::from_utf8_lossy(&cmdline).contains("driver.nix") {
            found.push(pid);
        }
    }
    found
}

/// How long a process has worked so far, which a busy machine does not make longer.
pub fn processor_time(pid: u32) -> Duration {
    /// The units of `/proc` in a second, everywhere.
    const TICKS: u64 = 100;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Behind the name, which may hold anything: its own work and the kernel's for it are the fields 14 and 15 of all.
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 1000 / TICKS)
}

impl Said {
    pub fn input(&self, member: &str, input: &str) -> Value {
        let (declaration, _) =
            self.declared.get(&path(member)).unwrap_or_else(|| panic!("{member} is not declared; {self:?}"));
        declaration.inputs[input].clone()
    }

    pub fn needs(&self, member: &str) -> Vec<String> {
        let waiting = self.waiting.get(&path(member)).unwrap_or_else(|| panic!("{member} does not wait; {self:?}"));
        waiting.needs.iter().map(ToString::to_string).collect()
    }

    pub fn failure(&self, member: &str) -> String {
        self.failed.get(&path(member)).unwrap_or_else(|| panic!("{member} did not fail; {self:?}")).to_string()
    }
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |paths: Vec<&MemberPath>| paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        writeln!(f, "structures: {}", show(self.structures.keys().collect()))?;
        writeln!(f, "declared: {}", show(self.declared.keys().collect()))?;
        for (member, needs) in &self.waiting {
            writeln!(f, "{member} waits for {:?} suspected={}", needs.needs, needs.suspected)?;
        }
        for (member, error) in &self.failed {
            writeln!(f, "{member} failed: {error}")?;
        }
        writeln!(f, "fatal: {:?}\nlog: {:?}", self.fatal, self.log)
    }
}
