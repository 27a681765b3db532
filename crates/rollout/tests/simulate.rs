//! Random stories. `FREEHOLD_SIM_SEEDS=100000` plays more of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

mod sim;

use freehold_rollout::{Outcome, Strategy};
use sim::driver::{At, Ended, Knobs, Sim, When};
use sim::fuzz::{self, Round};
use sim::world::Health;

#[test]
fn whatever_happens_the_right_release_runs_in_the_end() {
    let seeds = std::env::var("FREEHOLD_SIM_SEEDS").map_or(2_500, |n| n.parse().unwrap());
    std::panic::set_hook(Box::new(|_| {}));
    let failed: Vec<u64> = (0..seeds).filter(|seed| fails(&fuzz::story(*seed)).is_some()).collect();
    let small = failed.first().map(|seed| {
        let kind =
            |message: String| message.split('\n').next().unwrap_or_default().chars().take(30).collect::<String>();
        let first = fails(&fuzz::story(*seed)).map(kind);
        let small = fuzz::shrink(&fuzz::story(*seed), &|story| fails(story).map(kind) == first);
        (*seed, fails(&small), small)
    });
    let _ = std::panic::take_hook();
    if let Some((seed, message, small)) = small {
        panic!(
            "{} of {seeds} seeds fail\nseed {seed}, made smaller: {small:?}\n{}",
            failed.len(),
            message.unwrap_or_default()
        );
    }
}

/// A rollout of v2 after v1, disturbed at every effect in turn: killed before it, killed after it, with and without a reboot.
#[test]
fn a_crash_at_any_effect_is_recovered_from() {
    for seed in 0..8 {
        let mut story = fuzz::story(seed);
        story.health[0].1 = Health::Good;
        story.health[1].1 = [Health::Good, Health::Red, Health::Flicker, Health::Broken][seed as usize % 4];
        let round = Round { declared: Some("v1"), ..Round::default() };
        for number in 1..60 {
            for (when, reboot) in
                [(When::Before, false), (When::After, false), (When::Before, true), (When::After, true)]
            {
                let knobs = Knobs { crash: Some((At::Number(number), when)), ..Knobs::default() };
                let disturbed = Round { declared: Some("v2"), reboot, knobs, ..Round::default() };
                story.rounds = vec![round.clone(), disturbed];
                fuzz::play(&story);
            }
        }
    }
}

#[test]
fn a_clock_that_jumps_takes_no_healthy_release_back() {
    for seed in 0..500 {
        let mut story = fuzz::story(seed);
        story.health.iter_mut().for_each(|(_, health)| *health = Health::Late(2));
        story.settings.gate.timeout_seconds = 5;
        let mut sim = Sim::new();
        sim.world.blue_green = story.settings.strategy == Strategy::BlueGreen;
        sim.world.health = story.health.iter().map(|(id, health)| ((*id).to_owned(), *health)).collect();
        for (id, expected) in [("v1", Outcome::Deployed), ("v2", Outcome::Upgraded)] {
            let knobs = Knobs { restless: Some(seed), ..Knobs::default() };
            let Ended::Finished(report) = sim.run(&fuzz::wish(Some(id), &story.settings, false), knobs) else {
                panic!("seed {seed}: a run that nothing disturbs crashes");
            };
            assert_eq!(report.outcome, expected, "seed {seed}:\n{}", sim.log.join("\n"));
        }
    }
}

/// Seeds that once failed, with what they found, stand in `failed-seeds.txt`.
#[test]
fn stories_that_once_failed_hold() {
    for line in include_str!("failed-seeds.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let seed = line.split_whitespace().next().unwrap().parse().unwrap();
        fuzz::play(&fuzz::story(seed));
    }
}

fn fails(story: &fuzz::Story) -> Option<String> {
    let played = std::panic::catch_unwind(|| fuzz::play(story));
    played.err().map(|cause| {
        let text = cause.downcast_ref::<String>().cloned();
        text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}
