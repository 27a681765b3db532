//! Where words go: stdout is data, stderr is talk. The only place that writes to either.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Mutex, PoisonError};

use anstream::{AutoStream, ColorChoice};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde_json::Value as Json;

use crate::failure::Failure;
use crate::render::style::{self, paint};
use crate::render::text::escape_controls;
use crate::reports;

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// Errors only.
    Quiet,
    /// What one wants to know.
    Normal,
    /// Details.
    Verbose,
    /// Everything, for finding faults.
    Debug,
}

/// Standard output and standard error.
#[derive(Debug)]
pub(crate) struct Ui {
    color: ColorChoice,
    /// Whether data is to be JSON.
    pub(crate) json: bool,
    /// How much is said.
    pub(crate) verbosity: Verbosity,
    /// The first failure to write data.
    failed: Mutex<Option<io::Error>>,
}

impl Ui {
    /// `color` is what was asked for; whether there is a terminal is found out per stream.
    pub(crate) fn new(color: ColorChoice, json: bool, verbosity: Verbosity) -> Self {
        Self { color, json, verbosity, failed: Mutex::new(None) }
    }

    /// Data, as it is.
    pub(crate) fn data(&self, text: &str) {
        self.keep(AutoStream::new(io::stdout(), self.color).lock().write_all(text.as_bytes()));
    }

    /// Bytes that are not to be touched: a raw output, a completion script.
    pub(crate) fn raw(&self, bytes: &[u8]) {
        let mut out = io::stdout().lock();
        self.keep(out.write_all(bytes).and_then(|()| out.flush()));
    }

    /// Data for programs, indented.
    pub(crate) fn json(&self, value: &Json) {
        self.check_report(value);
        self.raw(format!("{value:#}\n").as_bytes());
    }

    /// Data for programs, one line.
    pub(crate) fn json_line(&self, value: &impl serde::Serialize) {
        if cfg!(debug_assertions) {
            self.check_report(&serde_json::to_value(value).unwrap_or_default());
        }
        if let Ok(line) = serde_json::to_string(value) {
            self.raw(format!("{line}\n").as_bytes());
        }
    }

    /// Says so when a report is not as its schema says: in builds for tests, which then fail.
    pub(crate) fn check_report(&self, value: &Json) {
        if cfg!(debug_assertions)
            && let Some(mistake) = reports::mistake(value)
        {
            // However quiet it is to be: nobody is to miss it.
            self.always(&format!("warning: {mistake}\n"));
        }
    }

    /// Talk; left out with `--quiet`.
    pub(crate) fn talk(&self, text: &str) {
        if self.verbosity > Verbosity::Quiet {
            self.always(&format!("{text}\n"));
        }
    }

    /// Something that did no harm and should be known.
    pub(crate) fn warn(&self, text: &str) {
        self.talk(&format!("{} {}", paint(style::WARN, "warning:"), escape_controls(text)));
    }

    /// A command's failure.
    pub(crate) fn failure(&self, failure: &Failure) {
        if self.json {
            self.json(&failure.to_json());
        }
        self.always(&failure.render());
    }

    /// Talk that `--quiet` does not silence; the caller ends its lines.
    pub(crate) fn always(&self, text: &str) {
        // Nobody is left to tell when standard error is gone.
        let _ = AutoStream::new(io::stderr(), self.color).lock().write_all(text.as_bytes());
    }

    /// Whether a question can be asked: both ends are a terminal.
    pub(crate) fn can_ask(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks; only `yes` (or `y`) is taken for consent. Gives up when `stopped` says so.
    pub(crate) fn ask(&self, question: &str, stopped: &dyn Fn() -> bool) -> bool {
        self.always(&format!("{} {}", paint(style::STRONG, question), paint(style::FAINT, "[y/N] ")));
        let stdin = io::stdin();
        loop {
            let mut waiting = [PollFd::new(&stdin, PollFlags::IN)];
            let tick = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            let ready = poll(&mut waiting, Some(&tick));
            if stopped() {
                self.always("\n");
                return false;
            }
            match ready {
                // A signal interrupts the wait and may be noted only after that: it is looked at again.
                Ok(0) | Err(Errno::INTR) => {}
                _ => break,
            }
        }
        let mut answer = String::new();
        let read = stdin.read_line(&mut answer);
        read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
    }

    /// What went wrong with writing data; a reader that went away is no failure.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        match failed {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::host("cannot write to standard output", error))
            }
            _ => Ok(()),
        }
    }

    fn keep(&self, written: io::Result<()>) {
        if let Err(error) = written {
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }
}
