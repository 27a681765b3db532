//! Scenario scripts with their output: `tests/scenarios/*.txt`. `BLESS=1` writes what came out.
//!
//! A script has comments (`#`) and commands (`> run`); everything else is output. `sim/` is the world they play in.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

mod sim;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use freehold_rollout::{
    Change, Declared, Exec, Gate, Policy, Running, Settings, Stage, Strategy, Version, Wish, decide,
};
use sim::driver::{At, Ended, Knobs, Sim, When};
use sim::world::{Fault, Health, release};

#[test]
fn every_scenario_goes_as_written() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let played = freehold_testkit::play_scenarios(&dir, play);
    let persisted = played.iter().flat_map(|text| text.lines()).filter_map(|line| line.trim().strip_prefix("persist "));
    let stages: BTreeSet<&str> = persisted.collect();
    for stage in Stage::ALL.into_iter().filter(|stage| *stage != Stage::Idle) {
        assert!(stages.contains(stage.word().as_str()), "no scenario shows `{}`", stage.word());
    }
}

/// What a script has said so far.
struct Script {
    sim: Sim,
    settings: Settings,
    declared: Option<String>,
    policy: Policy,
    versions: Vec<Version>,
}

fn play(text: &str) -> String {
    let gate = Gate {
        exec: Some(Exec { command: vec!["look".to_owned()] }),
        timeout_seconds: 10,
        window_seconds: 2,
        ..Gate::default()
    };
    let mut script = Script {
        sim: Sim::new(),
        settings: Settings { gate, ..Settings::default() },
        declared: None,
        policy: Policy::PINNED,
        versions: Vec::new(),
    };
    let mut out = String::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            writeln!(out, "{line}").unwrap();
            script.sim.log.clear();
            script.command(command);
            for line in collapsed(&script.sim.log) {
                writeln!(out, "  {line}").unwrap();
            }
        } else if line.is_empty() || line.starts_with('#') {
            writeln!(out, "{line}").unwrap();
        }
    }
    out
}

impl Script {
    fn command(&mut self, command: &str) {
        let words: Vec<&str> = command.split_whitespace().collect();
        let world = &mut self.sim.world;
        match words[0] {
            "release" => drop(world.health.insert(words[1].to_owned(), health(words[2]))),
            "settings" => self.set(&words[1..]),
            "declare" => self.declared = Some(words[1].to_owned()),
            "undeclare" => self.declared = None,
            "version" => self.versions.push(version(&words[1..])),
            "fault" => {
                let (word, times) = (word(words[1]), words[2].parse().unwrap());
                world.faults.insert(word, Fault { times, done: words.get(3) == Some(&"done") });
            }
            "foreign" => world.foreign = Some(words[1..].join(" ")),
            "found" => {
                world.instances.insert(words[1].to_owned());
                world.boot = Some(words[1].to_owned());
                world.data.push(words[1].to_owned());
            }
            "lost" => world.instances.clear(),
            "moved" => world.moved(words[1]),
            "reboot" => world.reboot(),
            "decide" => {
                let wish = self.wish(&words);
                let decision = decide(&wish, &self.sim.record(), &self.sim.world.running());
                self.sim.log.push(sim::driver::shown(&decision));
            }
            "run" => self.run(&words),
            "ready" => self.ready(words[1]),
            "world" => self.show_world(),
            other => panic!("no command {other}"),
        }
    }

    fn set(&mut self, words: &[&str]) {
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let gate = &mut self.settings.gate;
            match name {
                "stateful" => self.settings.stateful = true,
                "blue-green" => {
                    self.settings.strategy = Strategy::BlueGreen;
                    self.sim.world.blue_green = true;
                }
                "keep" => self.settings.keep_releases = value.parse().unwrap(),
                "successes" => gate.successes = value.parse().unwrap(),
                "window" => gate.window_seconds = value.parse().unwrap(),
                "timeout" => gate.timeout_seconds = value.parse().unwrap(),
                "settling-alone" => gate.exec = None,
                "auto" => self.policy = Policy::AUTO,
                other => panic!("no setting {other}"),
            }
        }
    }

    fn wish(&self, words: &[&str]) -> Wish {
        let declared = self.declared.as_ref().map(|id| Declared {
            release: release(id),
            policy: self.policy,
            versions: self.versions.clone(),
            settings: self.settings.clone(),
        });
        let says = |word: &str| words.contains(&word);
        Wish { declared, retry: says("retry"), take_over: says("take-over"), resumed: false, adopts: says("adopt") }
    }

    fn run(&mut self, words: &[&str]) {
        let mut knobs = Knobs::default();
        for word in &words[1..] {
            let Some((name, value)) = word.split_once('=') else { continue };
            match name {
                "crash-before" => knobs.crash = Some((at(value), When::Before)),
                "crash-after" => knobs.crash = Some((at(value), When::After)),
                "lock-at" => knobs.lock = Some(at(value)),
                "clock-at" => {
                    let (place, by) = value.split_once(':').unwrap();
                    knobs.jump = Some((at(place), by.parse::<i64>().unwrap() * 1000));
                }
                other => panic!("no option {other}"),
            }
        }
        match self.sim.run(&self.wish(words), knobs) {
            Ended::Finished(_) | Ended::Crashed => {}
        }
    }

    /// A rollout of which only the last word matters.
    fn ready(&mut self, id: &str) {
        self.declared = Some(id.to_owned());
        self.run(&["run"]);
        self.sim.log.drain(..self.sim.log.len() - 1);
    }

    fn show_world(&mut self) {
        let world = &self.sim.world;
        let record = self.sim.record();
        let runs = match world.running() {
            Running::Nothing => "nothing".to_owned(),
            Running::Foreign { what } => what,
            Running::Release(_) => world.instances.iter().cloned().collect::<Vec<_>>().join(" and "),
        };
        let good = record.last_good.map_or("none".to_owned(), |release| release.to_string());
        let taken: Vec<String> = record.taken_back.into_iter().map(|taken| taken.release).collect();
        let previous: Vec<String> = record.previous.iter().map(ToString::to_string).collect();
        let lines = [
            format!("runs {runs}; at boot {}", world.boot.as_deref().unwrap_or("nothing")),
            format!("last good {good}; before it [{}]; taken back [{}]", previous.join(", "), taken.join(", ")),
            format!("data written by [{}]", world.data.join(", ")),
        ];
        self.sim.log.extend(lines);
    }
}

fn health(word: &str) -> Health {
    match word {
        "good" => Health::Good,
        "late" => Health::Late(3),
        "red" => Health::Red,
        "flicker" => Health::Flicker,
        "broken" => Health::Broken,
        "busy" => Health::Busy,
        "stutter" => Health::Stutter,
        "fade" => Health::Fade,
        other => panic!("no health {other}"),
    }
}

fn version(words: &[&str]) -> Version {
    let change = match words[1] {
        "patch" => Change::Patch,
        "minor" => Change::Minor,
        "major" => Change::Major,
        other => panic!("no change {other}"),
    };
    let manual = (words.len() > 2).then(|| words[2..].join(" "));
    Version { release: release(words[0]), change, manual }
}

/// `activate` or `activate#2`: the effect with that word, for the first or the second time.
fn at(text: &str) -> At {
    let (name, number) = text.split_once('#').unwrap_or((text, "1"));
    At::Word(word(name), number.parse().unwrap())
}

fn word(name: &str) -> &'static str {
    const WORDS: [&str; 13] = [
        "persist", "prepare", "stop", "snapshot", "activate", "settle", "probe", "wait", "routes", "drain", "commit",
        "restore", "finished",
    ];
    WORDS.into_iter().find(|word| *word == name).unwrap_or_else(|| panic!("no effect {name}"))
}

/// Rounds of looking that show the same are shown once.
fn collapsed(log: &[String]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut rest = log;
    while let Some(line) = rest.first() {
        let round =
            1 + rest[1..].iter().take_while(|line| line.starts_with("settle") || line.starts_with("probe")).count();
        let times = rest.chunks(round).take_while(|chunk| *chunk == &rest[..round]).count();
        if line.starts_with("wait") && times > 1 {
            out.extend(rest[..round].iter().cloned());
            out.push(format!("… {times} times"));
            rest = &rest[round * times..];
        } else {
            out.push(line.clone());
            rest = &rest[1..];
        }
    }
    out
}
