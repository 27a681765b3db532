//! What is on its way: a line that is written over on a terminal, a line for each path with `--verbose`, else nothing.

use std::io::{self, IsTerminal as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use freehold_cache::Progress;

use crate::render::text::{bytes, count};
use crate::ui::{Ui, Verbosity};

/// How often the line changes at most.
const TICK: Duration = Duration::from_millis(100);

/// Tells of a push, a pull or a verification while it goes on. The line is taken off the screen when this is dropped.
pub(crate) struct Moving<'a> {
    ui: &'a Ui,
    verb: &'static str,
    live: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    of: usize,
    nar_bytes: u64,
    done: usize,
    done_bytes: u64,
    shown: Option<Instant>,
}

impl<'a> Moving<'a> {
    /// `verb` as in "pushed 3 of 7 paths".
    pub(crate) fn new(ui: &'a Ui, verb: &'static str) -> Self {
        let live = ui.verbosity == Verbosity::Normal && io::stderr().is_terminal();
        Self { ui, verb, live, state: Mutex::default() }
    }

    /// Takes news.
    pub(crate) fn hear(&self, news: Progress) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match news {
            Progress::Planned { paths, missing, nar_bytes } => {
                *state = State { of: missing, nar_bytes, ..State::default() };
                self.detail(&format!("{} of {} to go", missing, count(paths, "path", "paths")));
            }
            Progress::Moved { path, nar_bytes, file_bytes, travelled } => {
                state.done += 1;
                state.done_bytes += nar_bytes;
                let how = if travelled { bytes(file_bytes) } else { "was there".to_owned() };
                self.detail(&format!("{path} ({how})"));
            }
            Progress::Publishing => self.detail("making them known"),
            Progress::Behind => self.ui.warn("another pull of the same paths is under way; waiting for it"),
            Progress::Differs { path } => self.ui.warn(&format!(
                "the cache has other contents of `{path}` than the store here, signed by others: it stays as it is"
            )),
            Progress::Waiting => self.ui.warn("garbage is being collected in the cache; waiting for its end"),
            Progress::Again => self.ui.warn("garbage was collected meanwhile; looking again"),
        }
        if self.live && state.shown.is_none_or(|at| at.elapsed() > TICK) {
            state.shown = Some(Instant::now());
            let (done, of) = (bytes(state.done_bytes), bytes(state.nar_bytes));
            let line = format!("{} {} of {} paths, {done} of {of}", self.verb, state.done, state.of);
            self.ui.always(&format!("\r\u{1b}[K{line}"));
        }
    }

    fn detail(&self, line: &str) {
        if self.ui.verbosity >= Verbosity::Verbose {
            self.ui.talk(line);
        }
    }
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        if self.live {
            self.ui.always("\r\u{1b}[K");
        }
    }
}
