//! The last words of a service, from the host's journal.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Instant, UNIX_EPOCH};

use freehold_model::limits;

use super::state::State;

/// How many lines are told.
const LINES: &str = "5";
/// Of them, how many bytes.
const BYTES: u64 = 1024;

/// The last lines that a unit has written, on one line; `None` when there is no journal, or nothing in it. Those of its last start
/// alone, unless it was started again: then it is an earlier one that has ended, of the same unit file.
pub(super) fn last_words(unit: &str, state: &State) -> Option<String> {
    if state.invocation.is_empty() {
        return None;
    }
    let mut command = Command::new("journalctl");
    command.args(["--no-pager", "--quiet", "--output=cat", "--lines", LINES]);
    // What the service itself has said; systemd's own words about it are in the reason already.
    if state.restarts == 0 {
        command.arg(format!("_SYSTEMD_INVOCATION_ID={}", state.invocation));
    } else {
        // What stands in the journal before that was said by another release.
        let written = fs_err::metadata(&state.file).and_then(|file| file.modified()).ok()?;
        let written = written.duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
        command.arg(format!("--since=@{written:.3}")).arg(format!("_SYSTEMD_UNIT={unit}"));
    }
    let end = Instant::now() + limits::JOURNAL_WORDS;
    // What it said just before it ended may be on its way still.
    let mut sync = Command::new("journalctl");
    said_by(sync.arg("--sync"), end)?;
    let bytes = said_by(&mut command, end)?;
    let text = String::from_utf8_lossy(&bytes);
    let words: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    (!words.is_empty()).then(|| words.join(" / "))
}

/// The first of what a command says until it ends, or is ended because its time is over.
fn said_by(command: &mut Command, end: Instant) -> Option<Vec<u8>> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let mut stdout = child.stdout.take()?;
    // So few lines fit into a pipe, so that it ends without being read.
    let ended = loop {
        match child.try_wait() {
            Ok(Some(_)) => break true,
            Ok(None) if Instant::now() < end => std::thread::sleep(std::time::Duration::from_millis(5)),
            _ => break false,
        }
    };
    if !ended {
        // It is no longer waited for; that it is gone already is as good.
        let _ = child.kill();
        let _ = child.wait();
    }
    let mut bytes = Vec::new();
    stdout.by_ref().take(BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
