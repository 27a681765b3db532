//! Scenario scripts with their output: `crates/plan/tests/scenarios/*.txt`. `BLESS=1` writes what came out.
//!
//! A script has comments (`#`), commands (`> plan`), lines that belong to a command (`| page: file …`); everything else is output.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

mod sim;

use std::fmt::Write as _;
use std::path::Path;

use freehold_model::MemberPath;
use freehold_plan::{Mode, Plan, PlanOptions};
use sim::deployment::Deployment;
use sim::driver::{Ended, Knobs, Sim};
use sim::show;
use sim::world::Behaviour;

#[test]
fn every_scenario_goes_as_written() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plan/tests/scenarios");
    freehold_testkit::play_scenarios(&dir, play);
}

fn play(text: &str) -> String {
    let mut sim = Sim::new("", 0);
    sim.calm = true;
    let mut out = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(command) = line.strip_prefix("> ") {
            writeln!(out, "{line}").unwrap();
            let mut body = String::new();
            while let Some(more) = lines.next_if(|l| l.starts_with('|')) {
                writeln!(out, "{more}").unwrap();
                writeln!(body, "{}", more[1..].trim()).unwrap();
            }
            let mut answer = || command_output(&mut sim, command, &body);
            let lines = std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut answer));
            let Ok(lines) = lines else {
                writeln!(out, "  PANIC").unwrap();
                return out;
            };
            for line in lines {
                writeln!(out, "  {line}").unwrap();
            }
        } else if line.is_empty() || line.starts_with('#') {
            writeln!(out, "{line}").unwrap();
        }
    }
    out
}

fn command_output(sim: &mut Sim, command: &str, body: &str) -> Vec<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    match words[0] {
        "deploy" => {
            sim.deployment = Deployment::parse(body);
            Vec::new()
        }
        "plan" => show::plan(&sim.plan(options(&words[1..]))),
        "apply" => {
            let plan = sim.plan(options(&words[1..]));
            if !plan.problems.is_empty() {
                return show::plan(&plan);
            }
            apply(sim, plan, knobs(&words[1..]))
        }
        "world" => show::world(sim),
        "state" => show::state(sim),
        "fault" => {
            let times = words.get(4).map_or(1, |n| n.parse().unwrap());
            sim.faults.push((words[1].parse().unwrap(), words[2].to_owned(), Behaviour::parse(words[3]), times));
            Vec::new()
        }
        "drift" => {
            for change in &words[2..] {
                let (name, value) = change.split_once('=').unwrap();
                let object = sim.world.objects.get_mut(words[1]).expect("an object of that name");
                object.inputs.insert(name.to_owned(), value.into());
            }
            Vec::new()
        }
        "lose" => {
            sim.world.objects.remove(words[1]).expect("an object of that name");
            Vec::new()
        }
        "rename-open" => {
            sim.journal.rename_open();
            Vec::new()
        }
        "answer" => {
            sim.answer_questions();
            Vec::new()
        }
        other => panic!("no command {other}"),
    }
}

fn apply(sim: &mut Sim, plan: Plan, knobs: Knobs) -> Vec<String> {
    let ended = sim.apply(plan, knobs);
    sim::check::every_prefix_replays(sim);
    match ended {
        Ended::Finished(summary) => show::run(sim, &summary),
        Ended::Crashed => {
            let mut lines: Vec<String> = sim.calls.iter().map(|c| format!("call {c}")).collect();
            lines.push("crashed".to_owned());
            lines
        }
    }
}

fn options(words: &[&str]) -> PlanOptions {
    let mut options = PlanOptions::normal();
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let path = || -> MemberPath { value.parse().unwrap() };
        match name {
            "--destroy" => options.mode = Mode::Destroy,
            "--refresh-only" => options.mode = Mode::RefreshOnly,
            "--no-refresh" => options.refresh = false,
            "--target" => drop(options.targets.insert(path())),
            "--exclude" => drop(options.excludes.insert(path())),
            "--replace" => drop(options.replace.insert(path())),
            "--forget" => drop(options.forget.insert(path())),
            "--crash-at" | "--interrupt-at" | "--kill-at" | "--state-fails-at" | "--parallelism" => {}
            other => panic!("no option {other}"),
        }
    }
    options
}

fn knobs(words: &[&str]) -> Knobs {
    let mut knobs = Knobs { parallelism: Some(2), ..Knobs::default() };
    for word in words {
        let Some((name, value)) = word.split_once('=') else { continue };
        let number = || value.parse::<usize>().unwrap();
        match name {
            "--crash-at" => knobs.crash_at = Some(number()),
            "--interrupt-at" => knobs.interrupt_at = Some(number()),
            "--kill-at" => (knobs.interrupt_at, knobs.hard) = (Some(number()), true),
            "--state-fails-at" => knobs.state_fails_at = Some(number()),
            "--parallelism" => knobs.parallelism = Some(number()),
            _ => {}
        }
    }
    knobs
}
