//! Freehold's own budgets, each as a row: what was run, what it took, what it may take.
//!
//! Times are of whole commands, evaluation by Nix included; memory is the main process's own.

use std::time::Duration;

use super::measure::{self, Cost};
use super::scratch;
use super::tool::{Shape, Tool};
use crate::Outcome;

/// Longer than any budget many times over.
const LIMIT: Duration = Duration::from_secs(600);
const MEMBERS: usize = 10_000;

/// Prints the table; `large` adds ten times as many members.
pub(super) fn run(freehold: &Tool, large: bool) -> Outcome<()> {
    if let Some(reason) = freehold.missing(Shape::Flat) {
        return Err(reason);
    }
    println!("### {}, whole commands\n", freehold.name);
    println!("| work | command | time | memory | budget |");
    println!("|---|---|---:|---:|---|");
    deployment(freehold, Shape::Flat, 1_000, ["", "", ""])?;
    deployment(freehold, Shape::Flat, MEMBERS, ["< 5 s", "", "< 1 s, < 150 MB"])?;
    deployment(freehold, Shape::Files, MEMBERS, ["", "< 5 s", ""])?;
    deployment(freehold, Shape::Pairs, MEMBERS, ["", "", ""])?;
    if large {
        deployment(freehold, Shape::Flat, MEMBERS * 10, ["linear: < 50 s", "", ""])?;
    }
    Ok(())
}

/// Three rows: everything is made, nothing is left to do, and the same without looking at the world.
fn deployment(freehold: &Tool, shape: Shape, members: usize, budgets: [&str; 3]) -> Outcome<()> {
    let what = match shape {
        Shape::Flat => "`local.memo`",
        Shape::Files => "`local.file`",
        Shape::Pairs => "`local.memo`, every second of another's output",
    };
    let scratch = scratch()?;
    freehold.write_generated(scratch.path(), shape, members)?;
    let [apply, plan, quick] = budgets;
    row(&format!("{members} new {what}"), "apply --yes", apply, &mut freehold.apply(scratch.path()))?;
    row(&format!("{members} recorded {what}, no change"), "plan", plan, &mut freehold.plan(scratch.path(), true))?;
    row("the same, not looked at", "plan --no-refresh", quick, &mut freehold.plan(scratch.path(), false))?;
    let records = freehold.remembered(scratch.path())?.records;
    if records == members { Ok(()) } else { Err(format!("{records} of {members} are recorded")) }
}

fn row(work: &str, command: &str, budget: &str, run: &mut std::process::Command) -> Outcome<()> {
    let Cost { time, memory_bytes } = measure::run(run, LIMIT)?;
    let memory = memory_bytes / 1_000_000;
    println!("| {work} | `freehold {command}` | {:.2} s | {memory} MB | {budget} |", time.as_secs_f64());
    Ok(())
}
