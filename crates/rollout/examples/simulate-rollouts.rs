//! Plays random stories with the rollout machine: `cargo run --release -p freehold-rollout --example simulate-rollouts -- --seeds 200000`.
//!
//! Every seed that fails is named; put it into `tests/failed-seeds.txt` when it is mended. It says how often each outcome was met,
//! so that one can see that the stories reach them all.

#![allow(clippy::print_stdout, reason = "it is a program")]

#[path = "../tests/sim/mod.rs"]
mod sim;

use std::collections::BTreeMap;

fn main() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let number = |flag: &str, default: u64| {
        let at = args.iter().position(|a| a == flag);
        at.and_then(|at| args.get(at + 1)?.parse().ok()).unwrap_or(default)
    };
    let (first, seeds) = (number("--first", 0), number("--seeds", 10_000));
    let mut failed = 0_u64;
    // A failing story is told once, below.
    std::panic::set_hook(Box::new(|_| {}));
    let mut met: BTreeMap<String, u64> = BTreeMap::new();
    for seed in first..first + seeds {
        match std::panic::catch_unwind(|| sim::fuzz::play(&sim::fuzz::story(seed))) {
            Ok(sim) => {
                for line in sim.log.iter().filter_map(|line| line.split_once(" (exit ")) {
                    *met.entry(line.0.to_owned()).or_default() += 1;
                }
                for line in sim.log.iter().filter_map(|line| line.strip_prefix("persist ")) {
                    *met.entry(format!("stage {line}")).or_default() += 1;
                }
            }
            Err(cause) => {
                failed += 1;
                if failed == 1 {
                    println!("{}", cause.downcast_ref::<String>().map_or("", String::as_str));
                }
                println!("seed {seed} fails");
            }
        }
    }
    for (what, times) in met {
        println!("{times:>9} {what}");
    }
    println!("{failed} of {seeds} seeds fail");
    if failed == 0 { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
