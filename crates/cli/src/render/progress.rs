//! What goes on, told while it goes on: a moving picture on a terminal, a line per event elsewhere, JSON where it was asked for.
//!
//! The picture is drawn by a thread of its own at a few frames a second from what the engine told, so ten thousand quick steps do not
//! cost ten thousand drawings. [`Picture::frame`] is pure.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use freehold_engine::{Note, Observer};
use freehold_model::MemberPath;
use freehold_protocol::events::{Action, Event, Severity};

use super::style::{self, paint};
use super::text::{self, count, escape_controls, seconds};
use crate::ui::{Ui, Verbosity};

const FRAME: Duration = Duration::from_millis(100);
/// A step is shown when it has taken this long.
const PATIENCE: Duration = Duration::from_millis(150);
const SPINNER: [&str; 8] = ["⠋", "⠙", "⠸", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// Tells what goes on.
pub(crate) struct Progress {
    ui: Arc<Ui>,
    manner: Manner,
    inner: Mutex<Inner>,
    wake: Condvar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Events to standard output.
    Json,
    /// A picture on standard error.
    Picture,
    /// A line per event on standard error.
    Lines,
    /// Nothing.
    Silent,
}

#[derive(Debug, Default)]
struct Inner {
    picture: Picture,
    /// Lines that stay, to be written before the next frame.
    pending: String,
    /// Height of the frame on the screen.
    drawn: usize,
    paused: bool,
    ended: bool,
}

/// What is seen.
#[derive(Debug, Default)]
struct Picture {
    /// What is being done while nothing is applied.
    note: Option<String>,
    /// Steps of the plan, 0 while there is none.
    total: usize,
    done: usize,
    running: BTreeMap<MemberPath, Running>,
    turn: usize,
}

#[derive(Debug)]
struct Running {
    since: Instant,
    action: Action,
    message: String,
}

impl Progress {
    /// In the manner that fits: `events` for a stream of JSON.
    pub(crate) fn new(ui: Arc<Ui>, events: bool) -> Arc<Self> {
        let dumb = std::env::var_os("TERM").is_none_or(|t| t == "dumb");
        let manner = match () {
            () if events => Manner::Json,
            () if ui.verbosity == Verbosity::Quiet => Manner::Silent,
            () if std::io::stderr().is_terminal() && !dumb => Manner::Picture,
            () => Manner::Lines,
        };
        let progress = Arc::new(Self { ui, manner, inner: Mutex::default(), wake: Condvar::new() });
        if manner == Manner::Picture {
            let weak = Arc::downgrade(&progress);
            // Without the thread there is no picture, which is no harm.
            let _ = std::thread::Builder::new().name("progress".into()).spawn(move || draw(&weak));
        }
        progress
    }

    /// A plan with so many steps is about to be followed.
    pub(crate) fn begin(&self, steps: usize) {
        let mut inner = self.lock();
        inner.picture.note = None;
        inner.picture.total = steps;
        inner.paused = false;
    }

    /// Takes the picture away, so that something else can be written; it comes back with [`Self::begin`].
    pub(crate) fn pause(&self) {
        let mut inner = self.lock();
        inner.paused = true;
        inner.picture.note = None;
        self.show(&mut inner);
    }

    /// Says a line that stays.
    fn say(&self, line: &str) {
        match self.manner {
            Manner::Picture => {
                let mut inner = self.lock();
                inner.pending += line;
                inner.pending.push('\n');
                if inner.paused {
                    self.show(&mut inner);
                }
            }
            Manner::Lines => self.ui.talk(line),
            Manner::Json | Manner::Silent => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is pending and the frame in the place of the last one.
    fn show(&self, inner: &mut Inner) {
        let size = rustix::termios::tcgetwinsize(std::io::stderr());
        let (width, height) = size.map_or((80, 24), |s| (usize::from(s.ws_col).max(20), usize::from(s.ws_row).max(4)));
        let frame = if inner.paused || inner.ended {
            Vec::new()
        } else {
            inner.picture.frame(width, height / 2, Instant::now())
        };
        if frame.is_empty() && inner.drawn == 0 && inner.pending.is_empty() {
            return;
        }
        let up = if inner.drawn > 0 { format!("\u{1b}[{}A", inner.drawn) } else { String::new() };
        let lines: String = frame.iter().map(|line| format!("{line}\n")).collect();
        self.ui.always(&format!("{up}\r\u{1b}[J{}{lines}", std::mem::take(&mut inner.pending)));
        inner.drawn = frame.len();
    }

    fn track(&self, event: &Event) {
        let mut inner = self.lock();
        let picture = &mut inner.picture;
        match event {
            Event::StepStart { member, action, .. } => {
                let running = Running { since: Instant::now(), action: *action, message: String::new() };
                picture.running.insert(member.clone(), running);
            }
            Event::StepProgress { member, fraction, message } => {
                if let Some(running) = picture.running.get_mut(member) {
                    let part = fraction.map(|f| format!("{:.0} % ", f * 100.0)).unwrap_or_default();
                    running.message = format!("{part}{}", escape_controls(message).replace('\n', " "));
                }
            }
            Event::StepDone { member, .. } | Event::StepFailed { member, .. } | Event::StepSkipped { member, .. } => {
                picture.running.remove(member);
                picture.done += 1;
            }
            _ => {}
        }
    }
}

impl Observer for Progress {
    fn event(&self, event: &Event) {
        match self.manner {
            Manner::Json => self.ui.json_line(event),
            Manner::Silent => {}
            Manner::Picture | Manner::Lines => {
                self.track(event);
                let quick = self.manner == Manner::Picture;
                if let Some(line) = line(event, self.ui.verbosity, quick) {
                    self.say(&line);
                }
            }
        }
    }

    fn note(&self, note: Note) {
        let doing = match note {
            Note::Warning { text } => {
                return self.say(&format!("{} {}", paint(style::WARN, "warning:"), escape_controls(&text)));
            }
            Note::UserLog { text } => return self.say(&paint(style::FAINT, escape_controls(text.trim_end()))),
            Note::Evaluating { members } => format!("evaluating: {} so far", count(members, "member", "members")),
            Note::Reading { done, total } => format!("looking at the world: {done} of {total}"),
            Note::Realising { message } => format!("Nix: {}", escape_controls(&message).replace('\n', " ")),
        };
        if self.manner == Manner::Lines && self.ui.verbosity >= Verbosity::Debug {
            self.say(&paint(style::FAINT, &doing));
        }
        self.lock().picture.note = Some(doing);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let mut inner = self.lock();
        inner.ended = true;
        if self.manner == Manner::Picture {
            self.show(&mut inner);
        }
        self.wake.notify_all();
    }
}

/// The thread: a frame now and then, for as long as somebody holds the progress.
fn draw(progress: &Weak<Progress>) {
    while let Some(progress) = progress.upgrade() {
        let inner = progress.lock();
        let (mut inner, _) = progress.wake.wait_timeout(inner, FRAME).unwrap_or_else(PoisonError::into_inner);
        if !inner.paused && !inner.ended {
            inner.picture.turn += 1;
            progress.show(&mut inner);
        }
    }
}

impl Picture {
    /// At most `height` lines of at most `width` columns.
    fn frame(&self, width: usize, height: usize, now: Instant) -> Vec<String> {
        let spinner = SPINNER[self.turn % SPINNER.len()];
        if self.total == 0 && self.running.is_empty() {
            return self.note.iter().map(|note| cut(&format!("{spinner} {note}"), width)).collect();
        }
        let mut steps: Vec<(&MemberPath, &Running)> =
            self.running.iter().filter(|(_, r)| now.duration_since(r.since) >= PATIENCE).collect();
        steps.sort_by_key(|(_, r)| r.since);
        let room = height.saturating_sub(2).max(1);
        let mut lines: Vec<String> = steps
            .iter()
            .take(room)
            .map(|(member, running)| {
                let took = seconds(now.duration_since(running.since).as_secs_f64());
                let message = if running.message.is_empty() { String::new() } else { format!("  {}", running.message) };
                cut(&format!("{spinner} {member}: {} {took}{message}", verb(running.action).0), width)
            })
            .collect();
        if steps.len() > room {
            lines.push(format!("  and {} more", steps.len() - room));
        }
        if self.total > 0 {
            lines.push(bar(self.done, self.total, self.running.len(), width));
        }
        lines
    }
}

fn bar(done: usize, total: usize, running: usize, width: usize) -> String {
    let cells = width.saturating_sub(40).clamp(10, 40);
    let full = cells * done.min(total) / total.max(1);
    let (full, empty) = ("━".repeat(full), "━".repeat(cells - full));
    format!("{}{}  {done} of {total}, {running} running", paint(style::ADD, full), paint(style::FAINT, empty))
}

/// Cuts a line so that it does not wrap; other than ASCII may be two columns wide.
fn cut(line: &str, width: usize) -> String {
    let mut used = 0;
    for (at, c) in line.char_indices() {
        used += if c.is_ascii() { 1 } else { 2 };
        if used >= width {
            return format!("{}…", &line[..at]);
        }
    }
    line.to_owned()
}

/// One event as a line, or nothing when it is not worth one. `quick`: its beginning is seen elsewhere.
fn line(event: &Event, verbosity: Verbosity, quick: bool) -> Option<String> {
    let verbose = verbosity >= Verbosity::Verbose;
    match event {
        Event::StepStart { member, action, attempt } if !quick => {
            let again = if *attempt > 1 { format!(" (try {attempt})") } else { String::new() };
            Some(format!("{member}: {}{again}", verb(*action).0))
        }
        Event::StepProgress { member, message, .. } if !quick && verbose && !message.is_empty() => {
            Some(format!("{member}: {}", escape_controls(message)))
        }
        Event::StepLog { member, level, message, .. } if verbose || level != "debug" => {
            let style = match level.as_str() {
                "error" => style::REMOVE,
                "warn" => style::CHANGE,
                _ => style::FAINT,
            };
            let text = escape_controls(message.trim_end_matches('\n')).into_owned();
            let lines: Vec<String> = text
                .split('\n')
                .map(|l| format!("{} {}", paint(style::FAINT, format!("{member} |")), paint(style, l)))
                .collect();
            Some(lines.join("\n"))
        }
        Event::StepDone { member, action, seconds, .. } => {
            let took = paint(style::FAINT, format!("({})", text::seconds(*seconds)));
            Some(format!("{member}: {} {took}", paint(style::ADD, verb(*action).1)))
        }
        // The whole run, or a condition: what is wrong is said at the end.
        Event::StepFailed { action: Action::None, .. } => None,
        Event::StepFailed { member, action, seconds, .. } => {
            let took = paint(style::FAINT, format!("({})", text::seconds(*seconds)));
            Some(format!("{member}: {} {took}", paint(style::REMOVE, format!("{} failed", verb(*action).0))))
        }
        Event::StepSkipped { member, action, reason, .. } => {
            let reason = escape_controls(reason);
            Some(format!("{member}: {}", paint(style::CHANGE, format!("not {}: {reason}", verb(*action).1))))
        }
        Event::Diagnostic { severity, message, hints, .. } => {
            let label = match severity {
                Severity::Error => paint(style::ERROR, "error:"),
                Severity::Warning => paint(style::WARN, "warning:"),
                Severity::Info => paint(style::FAINT, "note:"),
            };
            let hints: String =
                hints.iter().map(|h| format!("\n{} {}", paint(style::HINT, "hint:"), escape_controls(h))).collect();
            Some(format!("{label} {}{hints}", text::indent(&escape_controls(message), "  ")))
        }
        Event::Interrupt { count: 1, running } => {
            let what = count(usize::try_from(*running).unwrap_or_default(), "step", "steps");
            Some(paint(
                style::WARN,
                format!(
                    "stopping: {what} still running, and will be finished and recorded; press Ctrl-C again to stop at once"
                ),
            ))
        }
        Event::Interrupt { .. } => {
            Some(paint(style::WARN, "stopping at once: what runs is given up; the next plan looks into it"))
        }
        _ => None,
    }
}

/// `creating` and `created`.
fn verb(action: Action) -> (&'static str, &'static str) {
    match action {
        Action::None => ("keeping", "left as it is"),
        Action::Create => ("creating", "created"),
        Action::Update => ("updating", "updated"),
        Action::Replace => ("replacing", "replaced"),
        Action::Delete => ("deleting", "deleted"),
        Action::Read => ("writing down", "written down"),
        Action::Adopt => ("adopting", "adopted"),
        Action::Forget => ("forgetting", "forgotten"),
        Action::Run => ("running", "run"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> MemberPath {
        text.parse().unwrap()
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_frame_shows_what_takes_long_and_the_whole() {
        let now = Instant::now() + Duration::from_secs(100);
        let running = |ago, message: &str| Running {
            since: now - Duration::from_millis(ago),
            action: Action::Create,
            message: message.to_owned(),
        };
        let picture = Picture {
            total: 40,
            done: 10,
            running: BTreeMap::from([
                (path("a"), running(2_300, "50 % waiting for a long time indeed, so that this line has to be cut")),
                (path("b"), running(10, "")),
                (path("c"), running(61_000, "")),
                (path("d"), running(1_000, "")),
            ]),
            ..Picture::default()
        };
        let frame: Vec<String> = picture.frame(60, 4, now).iter().map(|l| plain(l)).collect();
        insta::assert_snapshot!(frame.join("\n"), @r"
        ⠋ c: creating 1 min 01 s
        ⠋ a: creating 2.3 s  50 % waiting for a long time indeed, …
          and 1 more
        ━━━━━━━━━━━━━━━━━━━━  10 of 40, 4 running
        ");
    }

    #[test]
    fn events_are_lines() {
        let (member, action) = (path("site.page"), Action::Create);
        let log = |level: &str, message: &str| Event::StepLog {
            member: path("site.page"),
            level: level.to_owned(),
            message: message.to_owned(),
            fields: serde_json::Map::new(),
        };
        let events = [
            Event::StepStart { member: member.clone(), action, attempt: 2 },
            log("stdout", "one\n\u{1b}[2Jtwo\n"),
            log("debug", "not for everybody"),
            Event::StepDone { member: member.clone(), action, seconds: 0.13, outputs: None },
            Event::StepSkipped { member, action, reason: "`id` failed".into(), because: Vec::new() },
            Event::Interrupt { count: 1, running: 2 },
        ];
        let lines: Vec<String> =
            events.iter().filter_map(|e| line(e, Verbosity::Normal, false)).map(|l| plain(&l)).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        site.page: creating (try 2)
        site.page | one
        site.page | \u{1b}[2Jtwo
        site.page: created (0.1 s)
        site.page: not created: `id` failed
        stopping: 2 steps still running, and will be finished and recorded; press Ctrl-C again to stop at once
        ");
    }
}
