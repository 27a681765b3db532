//! Running a program of Nix: its lines are heard as they come, it can be stopped, and it never outlives our patience.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use freehold_model::limits;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::error::StoreError;
use crate::messages::{Listener, Progress, strip_colours};

/// How often a silent child is looked after.
const TICK: Duration = Duration::from_millis(50);
/// How long the pipes of a child that has ended are still listened to: a grandchild may hold them.
const AFTERMATH: Duration = Duration::from_secs(2);

/// Lines that wait to be heard; a child that says more waits itself.
const LINES: usize = 256;

/// What became of a child.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) listener: Listener,
}

/// Runs `command` to its end; `stop` ends it early.
pub(crate) fn watched(
    mut command: Command,
    what: &str,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Ended, StoreError> {
    let program = command.get_program().to_owned();
    // A group of its own: the terminal's Ctrl-C is for us to interpret.
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|source| StoreError::Start { program: program.into(), source })?;
    let (sender, heard) = sync_channel(LINES);
    listen(child.stdout.take(), sender.clone(), From::Stdout);
    listen(child.stderr.take(), sender, From::Stderr);
    follow(&mut child, &heard, what, stop, progress)
}

/// Hears a child to its end. Whatever it says, it is looked after all the time.
fn follow(
    child: &mut Child,
    heard: &Receiver<(From, Vec<u8>)>,
    what: &str,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Ended, StoreError> {
    let mut listener = Listener::default();
    let mut stdout = Vec::new();
    let mut pace = Pace { stopping: None, ended: None };
    let status = loop {
        if pace.stopping.is_none() && stop.load(Ordering::Relaxed) {
            pace.stopping = Some(Instant::now());
            signal(child, Signal::INT);
        }
        match next(heard) {
            Next::Line(From::Stdout, line) => stdout.extend(line),
            Next::Line(From::Stderr, line) => {
                if let Some(news) = listener.hear(String::from_utf8_lossy(&line).trim_end_matches('\n')) {
                    progress(news);
                }
            }
            Next::Silence => {}
            Next::Closed => break reap(child, &pace, stop)?,
        }
        if let Some(status) = pace.look_after(child)? {
            break status;
        }
    };
    if pace.stopping.is_some() && !status.success() {
        return Err(StoreError::Stopped { what: what.to_owned() });
    }
    Ok(Ended { status, stdout, listener })
}

/// Runs a command that answers at once, and gives its standard output.
pub(crate) fn short(command: Command, what: &str) -> Result<String, StoreError> {
    let stop = AtomicBool::new(false);
    let ended = watched(command, what, &stop, &mut |_| {})?;
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    if ended.status.success() { Ok(text) } else { Err(failure(what, &ended)) }
}

/// Why a child failed, when it is not about a build.
pub(crate) fn failure(what: &str, ended: &Ended) -> StoreError {
    let message = match ended.listener.errors.as_slice() {
        [] => format!("it ended with {} and said nothing", ended.status),
        errors => errors.join("\n"),
    };
    StoreError::Failed { what: what.to_owned(), message: strip_colours(&message) }
}

#[derive(Clone, Copy)]
enum From {
    Stdout,
    Stderr,
}

enum Next {
    Line(From, Vec<u8>),
    Silence,
    Closed,
}

struct Pace {
    stopping: Option<Instant>,
    ended: Option<(Instant, ExitStatus)>,
}

impl Pace {
    fn look_after(&mut self, child: &mut Child) -> Result<Option<ExitStatus>, StoreError> {
        if let Some((since, status)) = self.ended {
            return Ok((since.elapsed() > AFTERMATH).then_some(status));
        }
        if self.stopping.is_some_and(|since| since.elapsed() > limits::PROVIDER_STOP) {
            signal(child, Signal::KILL);
        }
        if let Some(status) = child.try_wait().map_err(lost)? {
            self.ended = Some((Instant::now(), status));
        }
        Ok(None)
    }
}

fn next(heard: &Receiver<(From, Vec<u8>)>) -> Next {
    match heard.recv_timeout(TICK) {
        Ok((from, line)) => Next::Line(from, line),
        Err(RecvTimeoutError::Timeout) => Next::Silence,
        Err(RecvTimeoutError::Disconnected) => Next::Closed,
    }
}

/// Both pipes are closed: the child has ended or is about to.
fn reap(child: &mut Child, pace: &Pace, stop: &AtomicBool) -> Result<ExitStatus, StoreError> {
    if let Some((_, status)) = pace.ended {
        return Ok(status);
    }
    let mut told = pace.stopping;
    loop {
        if let Some(status) = child.try_wait().map_err(lost)? {
            return Ok(status);
        }
        match told {
            None if stop.load(Ordering::Relaxed) => {
                told = Some(Instant::now());
                signal(child, Signal::INT);
            }
            Some(since) if since.elapsed() > limits::PROVIDER_STOP => signal(child, Signal::KILL),
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the form that `map_err` wants")]
fn lost(source: std::io::Error) -> StoreError {
    StoreError::Answer { what: "end".to_owned(), reason: source.to_string() }
}

fn signal(child: &Child, signal: Signal) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended meanwhile.
        let _ = kill_process_group(group, signal);
    }
}

fn listen(pipe: Option<impl Read + Send + 'static>, sender: SyncSender<(From, Vec<u8>)>, from: From) {
    let Some(pipe) = pipe else { return };
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        loop {
            let mut line = Vec::new();
            // A builder may print megabytes without a line's end: they come in pieces.
            match reader.by_ref().take(limits::EVALUATOR_STDERR_BYTES as u64).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    if sender.send((from, line)).is_err() {
                        return;
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows a script that has said that it is ready while its standard error talks without a pause; gives up after a minute.
    fn follow_talk(script: &str, stopped: bool) -> Result<ExitStatus, StoreError> {
        let mut command = Command::new("/bin/sh");
        let mut child =
            command.args(["-c", script]).stdout(Stdio::piped()).process_group(0).spawn().expect("there is a shell");
        let mut ready = [0; 6];
        child.stdout.take().expect("a pipe").read_exact(&mut ready).expect("it says that it is ready");
        let (sender, heard) = sync_channel(LINES);
        std::thread::spawn(move || while sender.send((From::Stderr, b"talk\n".to_vec())).is_ok() {});
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let ended = follow(&mut child, &heard, "talk", &AtomicBool::new(stopped), &mut |_| {});
            drop(tell.send(ended.map(|ended| ended.status)));
        });
        told.recv_timeout(Duration::from_secs(60)).expect("it ends within a minute")
    }

    #[test]
    fn a_child_that_talks_without_a_pause_is_killed_when_it_does_not_stop() {
        let status = follow_talk("trap '' INT; echo ready; exec sleep 100", true);
        assert!(matches!(status, Err(StoreError::Stopped { .. })), "{status:?}");
    }

    #[test]
    fn what_goes_on_talking_after_a_child_is_not_heard_for_ever() {
        let status = follow_talk("echo ready", false);
        assert!(status.is_ok_and(|status| status.success()));
    }
}
