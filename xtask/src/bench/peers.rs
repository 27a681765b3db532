//! Times side by side: apply from nothing, then plans that find nothing to do.

use std::time::Duration;

use super::measure::{self, Cost};
use super::scratch;
use super::tool::{Shape, Tool};
use crate::Outcome;

/// A command that takes longer is ended, and its row says so: Terraform grows quadratically.
const LIMIT: Duration = Duration::from_secs(120);

/// Prints one table for each shape.
pub(super) fn run(tools: &[Tool], sizes: &[usize]) -> Outcome<()> {
    for (shape, title) in [(Shape::Flat, "resources that do nothing"), (Shape::Pairs, "pairs that refer to each other")]
    {
        println!("\n### {title}\n");
        println!("| program | resources | apply | no-op plan | no-op plan without refresh | peak memory |");
        println!("|---|---:|---:|---:|---:|---:|");
        for tool in tools {
            if let Some(reason) = tool.missing(shape) {
                println!("| {} | – | not run: {reason} | | | |", tool.name);
                continue;
            }
            for size in sizes {
                match row(tool, shape, *size) {
                    Ok(cells) => println!("| {} | {size} | {cells} |", tool.name),
                    Err(message) => {
                        println!("| {} | {size} | not finished, see below | | | |", tool.name);
                        eprintln!("{message}");
                        break;
                    }
                }
            }
        }
    }
    Ok(())
}

fn row(tool: &Tool, shape: Shape, size: usize) -> Outcome<String> {
    let scratch = scratch()?;
    tool.write(scratch.path(), shape, size)?;
    let apply = measure::run(&mut tool.apply(scratch.path()), LIMIT)?;
    let plan = measure::run(&mut tool.plan(scratch.path(), true), LIMIT)?;
    let quick = measure::run(&mut tool.plan(scratch.path(), false), LIMIT)?;
    let peak = [&apply, &plan, &quick].iter().map(|cost| cost.memory_bytes).max().unwrap_or(0);
    let seconds = |cost: &Cost| format!("{:.2} s", cost.time.as_secs_f64());
    Ok(format!("{} | {} | {} | {} MB", seconds(&apply), seconds(&plan), seconds(&quick), peak / 1_000_000))
}
