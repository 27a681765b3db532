//! What a `kill -9` in the middle of an apply leaves behind: objects in the world that the program has forgotten.
//!
//! Each kill lands when a given share of the files is there. What is forgotten is counted after the program and its plugins are gone.

use std::path::Path;
use std::time::{Duration, Instant};

use super::measure::{kill_group, spawn};
use super::scratch;
use super::tool::{Shape, Tool};
use crate::Outcome;

const FILES: usize = 1_000;
const LIMIT: Duration = Duration::from_secs(120);

/// Prints one table: a row for each program.
pub(super) fn run(tools: &[Tool], kills: usize) -> Outcome<()> {
    println!("\n### kill -9 during an apply of {FILES} files\n");
    println!(
        "| program | kills in mid-apply | files made before each kill | files without a record or an open intent |"
    );
    println!("|---|---:|---|---|");
    for tool in tools {
        if let Some(reason) = tool.missing(Shape::Files) {
            println!("| {} | not run: {reason} | | |", tool.name);
            continue;
        }
        let (mut made, mut forgotten) = (Vec::new(), Vec::new());
        for number in 1..=kills {
            let (files, lost) = kill_once(tool, number * FILES / (kills + 1))?;
            if files < FILES {
                made.push(files.to_string());
                forgotten.push(lost.to_string());
            }
        }
        println!("| {} | {} | {} | {} |", tool.name, made.len(), made.join(", "), forgotten.join(", "));
    }
    Ok(())
}

/// Kills one apply once `threshold` files exist; returns how many there are in the end, and how many of them are forgotten.
fn kill_once(tool: &Tool, threshold: usize) -> Outcome<(usize, usize)> {
    let scratch = scratch()?;
    let out = scratch.path().join("out");
    tool.write(scratch.path(), Shape::Files, FILES)?;
    let mut command = tool.apply(scratch.path());
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = spawn(&mut command)?;
    let began = Instant::now();
    while files_in(&out) < threshold && began.elapsed() < LIMIT && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(1));
    }
    // The program alone first, as the kernel would when memory runs out; then what it had started.
    let _ = child.kill();
    let _ = child.wait();
    kill_group(&mut child);
    let files = files_in(&out);
    let remembered = tool.remembered(scratch.path())?;
    Ok((files, files.saturating_sub(remembered.records + remembered.open_intents)))
}

fn files_in(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}
