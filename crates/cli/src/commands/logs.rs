//! `freehold logs`: what a service has said on this host, wherever its runtime keeps that.
//!
//! Units of systemd speak to the journal, which `journalctl` shows; services of the runtime `process` speak to a file, of which the one
//! before it is kept. The supervisor moves the file aside when it has become long, and a look that follows goes on in the new one.

use std::collections::{BTreeSet, VecDeque};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use freehold_manifest::Runtime as Kind;
use freehold_model::limits;
use freehold_runtime::process::ProcessRuntime;
use freehold_runtime::systemd::SystemdRuntime;
use freehold_runtime::{Records, Runtime as _, ServiceRelease};

use crate::commands::agent::directory;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Show what a service has said on this host
///
/// A service with a unit of systemd speaks to the journal: `journalctl` shows it, both instances of one that has two. One of the runtime
/// `process` speaks to a file in the agent's state (`--state`).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// Go on with what it says from now on
    #[arg(long)]
    follow: bool,
    /// So many lines, the newest
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    lines: usize,
    /// What was said since, as `journalctl` reads times: `-1h`, `today`, `2026-11-21 12:00`
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let state = directory(session)?;
    let process = ProcessRuntime::new(&state, Vec::new());
    let log = process.log(&args.service);
    match runtime_of(&state, &process, &args.service)? {
        Some(Kind::Systemd) => Err(journal(&args, session)),
        Some(_) if args.since.is_some() => {
            Err(Failure::usage("the runtime `process` does not note when something was said").hint("say `--lines N`"))
        }
        Some(_) => show(&args, &log, session),
        None => Err(unknown(&state, &process, &args.service)),
    }
}

/// The runtime that runs a service here, or ran it last; `None` when there is no such service.
fn runtime_of(state: &Path, process: &ProcessRuntime, service: &str) -> Result<Option<Kind>, Failure> {
    if !known(state, process).contains(service) {
        return Ok(None);
    }
    let record = Records::new(state.join("rollouts")).read(service)?;
    let release = record.target.as_ref().or(record.last_good.as_ref());
    let recorded = release.and_then(|release| ServiceRelease::from_release(release).ok());
    let kept = || if process.log(service).exists() { Kind::Process } else { Kind::Systemd };
    Ok(Some(recorded.map_or_else(kept, |release| release.runtime)))
}

/// The services of which there is something here.
fn known(state: &Path, process: &ProcessRuntime) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    // What cannot be read is not known.
    known.extend(Records::new(state.join("rollouts")).workloads().unwrap_or_default());
    known.extend(process.workloads().unwrap_or_default());
    known.extend(SystemdRuntime::new(state).workloads().unwrap_or_default());
    let logs = fs_err::read_dir(state.join("logs")).into_iter().flatten().flatten();
    let names = logs.filter_map(|entry| entry.file_name().into_string().ok());
    known.extend(names.filter_map(|name| name.strip_suffix(".log").map(str::to_owned)));
    known
}

fn unknown(state: &Path, process: &ProcessRuntime, service: &str) -> Failure {
    let known = known(state, process);
    let failure = Failure::user(format!("there is no service `{service}` in `{}`", state.display()));
    if known.is_empty() {
        return failure.hint("nothing has run here yet; `--state DIR` names the state of another agent");
    }
    let meant = freehold_model::did_you_mean(service, known.iter().map(String::as_str));
    let meant = meant.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
    failure.hint(format!("there is {}{meant}", known.iter().map(String::as_str).collect::<Vec<_>>().join(", ")))
}

/// Becomes `journalctl`; comes back only when it cannot.
fn journal(args: &Args, session: &Session) -> Failure {
    let mut command = Command::new("journalctl");
    for unit in freehold_runtime::systemd::units(&args.service) {
        command.args(["--unit", &unit]);
    }
    command.args(["--lines", &args.lines.to_string()]);
    if let Some(since) = &args.since {
        command.arg(format!("--since={since}"));
    }
    command.arg(if session.ui.json { "--output=json" } else { "--output=short-iso" });
    command.arg(if args.follow { "--follow" } else { "--no-pager" });
    Failure::host("cannot run `journalctl`", command.exec()).hint("it comes with systemd, which runs this service")
}

fn show(args: &Args, log: &Path, session: &Session) -> Result<Exit, Failure> {
    let mut last = Last { lines: VecDeque::new(), most: args.lines };
    if let Ok(older) = fs_err::read(log.with_extension("log.1")) {
        last.take(&older);
    }
    let mut file = match fs_err::File::open(log) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        other => Some(other?),
    };
    if let Some(file) = &mut file {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        last.take(&bytes);
    }
    for line in &last.lines {
        session.ui.raw(line);
    }
    if !args.follow {
        return Ok(Exit::Ok);
    }
    let stop = session.stopper()?;
    follow(log, file, &stop, session)
}

/// Shows what comes, until it is stopped.
fn follow(log: &Path, mut file: Option<fs_err::File>, stop: &AtomicBool, session: &Session) -> Result<Exit, Failure> {
    let mut bytes = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        // What came to the old file after the last look comes first; nobody writes there once there is a new one for long.
        let is_moved = file.as_ref().is_none_or(|file| is_another(file, log));
        if let Some(file) = &mut file {
            if file.metadata()?.len() < file.stream_position()? {
                file.seek(SeekFrom::Start(0))?;
            }
            bytes.clear();
            file.read_to_end(&mut bytes)?;
            session.ui.raw(&bytes);
        }
        if is_moved && let Ok(new) = fs_err::File::open(log) {
            file = Some(new);
            continue;
        }
        session.ui.finish()?;
        std::thread::sleep(limits::LOG_LOOK);
    }
    Ok(Exit::Interrupted)
}

/// Whether another file lies under this name by now.
fn is_another(file: &fs_err::File, log: &Path) -> bool {
    let id = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
    match (file.metadata(), fs_err::metadata(log)) {
        (Ok(open), Ok(named)) => id(open) != id(named),
        _ => false,
    }
}

/// The newest lines.
struct Last {
    lines: VecDeque<Vec<u8>>,
    most: usize,
}

impl Last {
    fn take(&mut self, bytes: &[u8]) {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            // A line that has no end yet goes on.
            match self.lines.back_mut().filter(|last| last.last() != Some(&b'\n')) {
                Some(last) => last.extend_from_slice(line),
                None => self.lines.push_back(line.to_vec()),
            }
            if self.lines.len() > self.most {
                self.lines.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_across_files_and_a_line_without_end_goes_on() {
        let mut last = Last { lines: VecDeque::new(), most: 2 };
        last.take(b"one\ntwo\nthr");
        last.take(b"ee\nfour");
        assert_eq!(last.lines, [b"three\n".to_vec(), b"four".to_vec()]);
        let mut none = Last { lines: VecDeque::new(), most: 0 };
        none.take(b"one\n");
        assert!(none.lines.is_empty());
    }
}
