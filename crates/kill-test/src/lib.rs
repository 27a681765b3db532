//! Kills `freehold apply` in the middle, looks at what it remembers and what is there, and lets it recover.
//!
//! The world is `ledger.py`, a provider with a ledger of its own that nobody else writes. After each kill every object in it must
//! have a record or an open intent, and every record an object; then the next apply must finish the work, and a plan find nothing
//! to do. It does not look at messages. `src/main.rs` is the long run, `tests/kills.rs` a short one.
#![allow(clippy::panic, clippy::print_stderr, reason = "a test program's way to fail and to talk")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use freehold_model::Value;
use freehold_state::{FileBackend, Keys, STATE_DIRECTORY, Store, SystemClock};
use freehold_testkit::{Freehold, Guarded, Scratch, not_run};

const LIMIT: Duration = Duration::from_secs(120);

/// How much to do.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    /// Applies to kill.
    pub kills: usize,
    /// Resources in each.
    pub members: usize,
}

/// What came of it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// Kills that landed while objects were being made.
    pub midway: usize,
    /// Kills that providers survived, to finish what they had begun.
    pub survived_by_providers: usize,
    /// Objects with neither a record nor an open intent.
    pub forgotten: usize,
    /// Records without an object.
    pub ghosts: usize,
    /// Recoveries after which the next plan was not empty, or the world not as declared.
    pub not_recovered: usize,
}

impl Report {
    /// Whether nothing was lost.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.forgotten == 0 && self.ghosts == 0 && self.not_recovered == 0
    }
}

impl Campaign {
    /// Runs it; `progress` hears of each kill. Stops early, with a report through `not_run`, without Python.
    pub fn run(&self, mut progress: impl FnMut(usize, &Report)) -> Option<Report> {
        if !Path::new("/usr/bin/python3").exists() {
            not_run("kill test", "python3 is missing; apt-get install python3");
            return None;
        }
        let mut report = Report::default();
        for number in 0..self.kills {
            let spread = (number * 7 + 3) % self.kills.max(1);
            // From the first objects to nearly the last, in no order.
            let threshold = 1 + spread * self.members.saturating_sub(20) / self.kills.max(1);
            Round::new(self.members).play(threshold, number % 2 == 0, &mut report);
            progress(number + 1, &report);
        }
        Some(report)
    }
}

/// One deployment with its world.
struct Round {
    scratch: Scratch,
    directory: PathBuf,
    members: usize,
}

impl Round {
    fn new(members: usize) -> Self {
        let scratch = Scratch::new();
        let directory = scratch.dir("deployment");
        scratch.write("deployment/freehold.nix", deployment(members));
        Self { scratch, directory, members }
    }

    fn play(&self, threshold: usize, spare_providers: bool, report: &mut Report) {
        let midway = self.kill_when(threshold, spare_providers);
        self.wait_for_providers();
        let objects = self.objects();
        if midway {
            report.midway += 1;
            report.survived_by_providers += usize::from(spare_providers);
        }
        let (forgotten, ghosts) = self.compare(&objects);
        report.forgotten += forgotten;
        report.ghosts += ghosts;
        if !self.recovers() {
            report.not_recovered += 1;
        }
    }

    /// Starts an apply and kills it once so many objects are there; says whether it was still at work.
    fn kill_when(&self, threshold: usize, spare_providers: bool) -> bool {
        let mut command = Freehold::new(&self.scratch, &self.directory).args(["apply", "--yes"]).into_command();
        let log = std::fs::File::create(self.scratch.join("apply.log"))
            .and_then(|log| Ok((log.try_clone()?, log)))
            .unwrap_or_else(|error| panic!("cannot make a log: {error}"));
        let mut apply = Guarded::spawn(command.stdin(Stdio::null()).stdout(log.0).stderr(log.1));
        let began = Instant::now();
        while self.objects().len() < threshold {
            if apply.wait_at_most(Duration::from_millis(2)).is_some() {
                break;
            }
            assert!(began.elapsed() < LIMIT, "no progress: {}", self.scratch.read("apply.log"));
        }
        let at_work = apply.wait_at_most(Duration::ZERO).is_none();
        apply.signal("KILL");
        if !spare_providers {
            for process in self.providers() {
                let _ = Command::new("kill").args(["-KILL", &process]).stderr(Stdio::null()).status();
                let _ = std::fs::remove_file(self.directory.join("alive").join(process));
            }
        }
        if !at_work && self.objects().len() < self.members {
            panic!("the apply ended by itself: {}", self.scratch.read("apply.log"));
        }
        at_work && self.objects().len() < self.members
    }

    fn providers(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.join("alive")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    fn wait_for_providers(&self) {
        let began = Instant::now();
        while self.providers().iter().any(|process| Path::new("/proc").join(process).exists()) {
            assert!(began.elapsed() < LIMIT, "a provider outlives its input");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// What is in the world: id → name.
    fn objects(&self) -> BTreeMap<String, String> {
        let ledger = std::fs::read_to_string(self.directory.join("ledger")).unwrap_or_default();
        let mut objects = BTreeMap::new();
        for line in ledger.lines() {
            let mut words = line.split(' ');
            let (Some(sign), Some(id), Some(name)) = (words.next(), words.next(), words.next()) else {
                panic!("a torn line in the ledger: {line}");
            };
            if sign == "+" {
                objects.insert(id.to_owned(), name.to_owned());
            } else {
                objects.remove(id);
            }
        }
        objects
    }

    /// Objects without a record or an intent, and records without an object.
    fn compare(&self, objects: &BTreeMap<String, String>) -> (usize, usize) {
        let backend = Arc::new(FileBackend::new(self.directory.join(STATE_DIRECTORY)));
        let store = Store::open(backend, Keys::none(), Arc::new(SystemClock))
            .unwrap_or_else(|error| panic!("the state cannot be read after a kill: {error}"));
        let state = store.view();
        let recorded: BTreeSet<String> =
            state.records().filter_map(|(_, record)| text(record.outputs.get("id"))).collect();
        let intended: BTreeSet<String> =
            state.intents().iter().filter_map(|intent| text(intent.inputs.get("name"))).collect();
        let known = |(id, name): &(&String, &String)| recorded.contains(*id) || intended.contains(*name);
        let forgotten = objects.iter().filter(|object| !known(object)).count();
        let ghosts = recorded.iter().filter(|id| !objects.contains_key(*id)).count();
        (forgotten, ghosts)
    }

    /// The next apply finishes the work, each object exists once, and there is nothing left to do.
    fn recovers(&self) -> bool {
        let freehold = |words: &[&str]| Freehold::new(&self.scratch, &self.directory).args(words).limit(LIMIT).run();
        let apply = freehold(&["apply", "--yes"]);
        let plan = freehold(&["plan", "--detailed-exitcode"]);
        let objects = self.objects();
        let names: BTreeSet<&String> = objects.values().collect();
        let good = apply.code == 0 && plan.code == 0 && objects.len() == self.members && names.len() == self.members;
        if !good {
            eprintln!(
                "not recovered: apply {}, plan {}, {} objects of {} names\n{}{}{}",
                apply.code,
                plan.code,
                objects.len(),
                names.len(),
                apply.stderr,
                plan.stdout,
                plan.stderr
            );
        }
        good
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    match value {
        Some(Value::String(text)) => Some(text.clone()),
        _ => None,
    }
}

fn deployment(members: usize) -> String {
    let ledger = Path::new(env!("CARGO_MANIFEST_DIR")).join("ledger.py");
    let mut text = format!(
        "{{ freehold, ... }}:\nfreehold.lib.mkRoot {{ modules = [ ({{ providers, ... }}: {{\n  \
         providers.ledger = {{\n    executable = \"{}\";\n    types.entry = {{ inputs.name = {{ }}; outputs.id = {{ }}; }};\n  }};\n",
        ledger.display()
    );
    for number in 0..members {
        let _ =
            writeln!(text, "  members.m{number} = {{ type = providers.ledger.entry; inputs.name = \"m{number}\"; }};");
    }
    text.push_str("}) ]; }\n");
    text
}
