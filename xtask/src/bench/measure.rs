//! Runs a command and says how long it took and how much memory its main process had at most.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;

const POLL: Duration = Duration::from_millis(5);

/// What a run cost.
pub(super) struct Cost {
    pub(super) time: Duration,
    /// The high-water mark of the main process's resident memory, sampled until its end.
    pub(super) memory_bytes: u64,
}

/// Runs the command to its end; its output is kept for the error only.
pub(super) fn run(command: &mut Command, limit: Duration) -> Outcome<Cost> {
    let mut log = tempfile::tempfile().map_err(|error| format!("cannot make a file for the output: {error}"))?;
    let writer = || log.try_clone().map_err(|error| format!("cannot share the file for the output: {error}"));
    let began = Instant::now();
    let mut child = spawn(command.stdout(writer()?).stderr(writer()?))?;
    let mut memory_bytes = 0;
    let status = loop {
        memory_bytes = memory_bytes.max(high_water(child.id()));
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if began.elapsed() < limit => thread::sleep(POLL),
            _ => {
                kill_group(&mut child);
                return Err(format!("{command:?} took longer than {} s", limit.as_secs()));
            }
        }
    };
    let time = began.elapsed();
    kill_group(&mut child);
    if status.success() {
        return Ok(Cost { time, memory_bytes });
    }
    let output = from_the_start(&mut log);
    let end: Vec<&str> = output.lines().rev().take(20).collect();
    let end: Vec<&str> = end.into_iter().rev().collect();
    Err(format!("{command:?} failed: {status}\n{}", end.join("\n")))
}

/// Starts the command in a process group of its own, with nothing on stdin.
pub(super) fn spawn(command: &mut Command) -> Outcome<Child> {
    command.stdin(Stdio::null()).process_group(0).spawn().map_err(|error| format!("cannot run {command:?}: {error}"))
}

/// Kills what is left of the child's process group, and reaps the child.
pub(super) fn kill_group(child: &mut Child) {
    let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).stderr(Stdio::null()).status();
    let _ = child.wait();
}

fn high_water(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

fn from_the_start(log: &mut File) -> String {
    let mut bytes = Vec::new();
    // What cannot be read is missing in the error, which is told nevertheless.
    let _ = log.rewind().and_then(|()| log.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_what_was_printed() {
        let failure = run(Command::new("sh").args(["-c", "echo why; exit 3"]), Duration::from_secs(60)).err();
        assert!(failure.as_deref().is_some_and(|text| text.ends_with("why")), "{failure:?}");
    }

    #[test]
    fn time_and_memory_are_measured() {
        let cost = run(Command::new("sleep").arg("1"), Duration::from_secs(60)).unwrap();
        assert!(cost.time >= Duration::from_secs(1));
        assert!(cost.memory_bytes > 0);
    }
}
