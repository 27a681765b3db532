//! Crashes at every step, and random stories. `FREEHOLD_SIM_SEEDS=100000` plays more of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

mod sim;

use freehold_plan::PlanOptions;
use sim::check;
use sim::deployment::Deployment;
use sim::driver::{Ended, Knobs, Sim};
use sim::fuzz;

/// What was applied, and what is applied while the program crashes.
const CRASHED: &[(&str, &str)] = &[
    ("", "id: random\npage: file path=/www content=$id.value\nnote: file path=/n content=$page.etag"),
    ("", "a: server image=x size=1\nb: server image=$a.id size=1\nc: db name=c version=$b.id"),
    (
        "id: random of=1\npage: file path=/www content=$id.value\nweb: server image=a size=1",
        "id: random of=2\npage: file path=/www content=$id.value\nnew: file path=/new content=$page.etag",
    ),
    (
        "web: server image=a size=1 @cbd\npage: file path=/www content=$web.id",
        "web: server image=b size=1 @cbd\npage: file path=/www content=$web.id",
    ),
    (
        "web: server image=a size=1\npage: file path=/www content=$web.id",
        "web: server image=b size=1\npage: file path=/www content=$web.id",
    ),
    (
        "names: random of=a,b\npool: each $names.value file path=/p/$item content=1",
        "names: random of=b,c\npool: each $names.value file path=/p/$item content=2",
    ),
    ("a: file path=/a content=1\nb: server image=$a.etag size=1\nc: db name=c version=$b.id", ""),
    (
        "a: file path=/a content=1\nb: server image=x size=1",
        "moved a -> c\nc: file path=/a content=2\nb: server image=y size=1",
    ),
];

#[test]
fn a_crash_at_any_step_is_recovered_from() {
    for (case, (before, after)) in CRASHED.iter().enumerate() {
        for seed in 0..4 {
            let mut at = 0;
            while crashed(before, after, seed, at) {
                at += 1;
            }
            assert!(at > 0, "story {case} has no step");
        }
    }
}

/// Whether the run was still going on at this step.
fn crashed(before: &str, after: &str, seed: u64, at: usize) -> bool {
    let mut sim = Sim::new(before, seed);
    let plan = sim.plan(PlanOptions::normal());
    sim.apply(plan, Knobs::default()).summary();
    sim.deployment = Deployment::parse(after);
    let plan = sim.plan(PlanOptions::normal());
    let ended = sim.apply(plan, Knobs { crash_at: Some(at), ..Knobs::default() });
    check::no_orphans(&sim);
    check::every_prefix_replays(&sim);
    fuzz::recover(&mut sim);
    matches!(ended, Ended::Crashed)
}

/// Seeds that once failed, with what they found, stand in `failed-seeds.txt`.
#[test]
fn stories_that_once_failed_hold() {
    for line in include_str!("failed-seeds.txt").lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
        let mut words = line.split_whitespace();
        let kind = words.next().unwrap();
        let seed = words.next().unwrap().parse().unwrap();
        match kind {
            "story" => fuzz::play(&fuzz::story(seed)),
            "late" => fuzz::play_calm(&fuzz::late_story(seed)),
            "kept" => fuzz::play(&fuzz::kept_story(seed)),
            "spiced" => fuzz::play(&fuzz::spiced_story(seed)),
            "long" => fuzz::play_long(seed),
            "wild" => fuzz::play_wild(seed),
            other => panic!("no kind of seed {other}"),
        }
    }
}

#[test]
fn a_plan_ends_however_wrong_the_deployment_is() {
    let seeds = std::env::var("FREEHOLD_SIM_SEEDS").map_or(300, |n| n.parse().unwrap());
    let failed: Vec<u64> = (0..seeds).filter(|s| std::panic::catch_unwind(|| fuzz::play_wild(*s)).is_err()).collect();
    assert!(failed.is_empty(), "wild seeds {failed:?}");
}

#[test]
fn after_several_disturbed_runs_everything_can_be_put_in_order() {
    let seeds = std::env::var("FREEHOLD_SIM_SEEDS").map_or(150, |n| n.parse().unwrap());
    let failed: Vec<u64> = (0..seeds).filter(|s| std::panic::catch_unwind(|| fuzz::play_long(*s)).is_err()).collect();
    assert!(failed.is_empty(), "long seeds {failed:?}");
}

#[test]
fn what_an_apply_makes_known_reaches_all_that_use_it() {
    let seeds = std::env::var("FREEHOLD_SIM_SEEDS").map_or(300, |n| n.parse().unwrap());
    let plays = |seed: &u64| std::panic::catch_unwind(|| fuzz::play_calm(&fuzz::late_story(*seed))).is_ok();
    let failed: Vec<u64> = (0..seeds).filter(|seed| !plays(seed)).collect();
    assert!(failed.is_empty(), "late seeds {failed:?}");
}

#[test]
fn whatever_happens_everything_can_be_put_in_order() {
    stories_end_well(fuzz::story);
    stories_end_well(fuzz::spiced_story);
    stories_end_well(fuzz::kept_story);
}

fn stories_end_well(make: fn(u64) -> fuzz::Story) {
    let seeds = std::env::var("FREEHOLD_SIM_SEEDS").map_or(300, |n| n.parse().unwrap());
    let first = std::env::var("FREEHOLD_SIM_FIRST").map_or(0, |n| n.parse().unwrap());
    std::panic::set_hook(Box::new(|_| {}));
    let mut failed = Vec::new();
    for seed in first..first + seeds {
        let story = make(seed);
        if let Some(message) = fails(&story) {
            failed.push((seed, message));
        }
    }
    let _ = std::panic::take_hook();
    if let Some((seed, first)) = failed.first() {
        let all: Vec<String> = failed.iter().map(|(s, m)| format!("{s}: {}", kind(m))).collect();
        std::panic::set_hook(Box::new(|_| {}));
        let small = fuzz::shrink(&make(*seed), &|s| fails(s).is_some_and(|m| kind(&m) == kind(first)));
        let message = fails(&small).unwrap_or_default();
        let _ = std::panic::take_hook();
        panic!(
            "{} of {seeds} seeds fail:\n{}\n\nseed {seed}, made smaller:\nbefore:\n{}after:\n{}{message}",
            failed.len(),
            all.join("\n"),
            small.before,
            small.after
        );
    }
}

/// What tells one defect from another, roughly: the first words, without names.
fn kind(message: &str) -> String {
    let words = message.split_whitespace().filter(|w| !w.contains(|c: char| c.is_ascii_digit() || c == '"'));
    words.take(16).collect::<Vec<_>>().join(" ")
}

fn fails(story: &fuzz::Story) -> Option<String> {
    let played = std::panic::catch_unwind(|| fuzz::play(story));
    played.err().map(|e| {
        e.downcast_ref::<String>()
            .cloned()
            .or_else(|| e.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            .unwrap_or_default()
    })
}
