//! One provider process: its pipes, and the threads that read and write them.
//!
//! The threads only move bytes and tell the keeper; they decide nothing. The process is in a process group of its own, so
//! that a Ctrl-C at the terminal does not reach it, and it ends by itself when its standard input is closed.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use freehold_model::limits;
use freehold_protocol::v1::{Message, parse_message};
use freehold_protocol::{v0, v1};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::keeper::Order;
use crate::{Launch, Request};

/// Tells processes apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ProcessId(pub(crate) u64);

/// What the threads of a process tell the keeper.
#[allow(clippy::large_enum_variant, reason = "it is moved once, through a channel")]
pub(crate) enum Heard {
    /// A message of protocol v1.
    Message(Message),
    /// A response of protocol v0.
    V0(v0::Response),
    /// A line that is neither, whole: what is secret in it is taken out before it is cut.
    Rubbish(Vec<u8>),
    /// A line that does not end.
    TooLong,
    /// Standard output has ended.
    OutputEnded,
    /// A line on standard error.
    Talk(String),
    /// Standard error has ended.
    TalkEnded,
    /// The process has ended.
    Exited,
    /// It does not read any more.
    NotReading,
}

/// What the writing thread is given.
#[allow(clippy::large_enum_variant, reason = "it is moved once, through a channel")]
pub(crate) enum Outgoing {
    /// A line as it is.
    Line(Vec<u8>),
    /// A message of protocol v1.
    Message(Message),
    /// A call, to be put into a message off the keeper's thread.
    Call(u64, Arc<Request>),
}

/// A running process. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    pid: Option<Pid>,
    writer: Option<Sender<Outgoing>>,
    stderr: Arc<Mutex<Tail>>,
    output: Arc<Output>,
    /// Pieces of its output that had come when it was asked about last.
    pieces: u64,
    status: Option<ExitStatus>,
}

/// How far its standard output has been read.
#[derive(Default)]
struct Output {
    /// Nothing is there to be read or understood.
    is_silent: AtomicBool,
    pieces: AtomicU64,
}

/// The last bytes of standard error.
#[derive(Default)]
struct Tail {
    bytes: VecDeque<u8>,
    /// It begins in the middle of something.
    cut: bool,
}

impl Process {
    /// Starts the program of `launch`.
    pub(crate) fn start(
        launch: &Launch,
        cwd: &PathBuf,
        id: ProcessId,
        message_bytes: usize,
        keeper: &Sender<Order>,
    ) -> io::Result<Self> {
        let mut child = command(launch, cwd).spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let (writer, lines) = mpsc::channel();
        let stderr = Arc::new(Mutex::new(Tail::default()));
        let tell = Tell { id, keeper: keeper.clone() };
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let talk = child.stderr.take();
        let output = Arc::new(Output::default());
        let process = Self {
            child,
            pid,
            writer: Some(writer),
            stderr: Arc::clone(&stderr),
            output: Arc::clone(&output),
            pieces: 0,
            status: None,
        };
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(format!("provider-{name}")).stack_size(512 * 1024).spawn(work).map(drop)
        };
        // When a thread cannot be started `process` is dropped, and killed with that.
        if let Some(stdin) = stdin {
            let tell = tell.clone();
            spawn("write", Box::new(move || write_lines(stdin, &lines, &tell)))?;
        }
        if let Some(stdout) = stdout {
            let tell = tell.clone();
            let watched = Watched { inner: stdout, output };
            spawn("read", Box::new(move || read_lines(watched, message_bytes, &tell)))?;
        }
        if let Some(talk) = talk {
            let tell = tell.clone();
            spawn("stderr", Box::new(move || read_talk(talk, &stderr, &tell)))?;
        }
        if let Some(pid) = pid {
            spawn("wait", Box::new(move || wait_for(pid, &tell)))?;
        }
        Ok(process)
    }

    /// Puts something into its standard input, in the background.
    pub(crate) fn send(&self, outgoing: Outgoing) {
        if let Some(writer) = &self.writer {
            // A writer that has ended has told the keeper so.
            let _ = writer.send(outgoing);
        }
    }

    /// Closes its standard input once everything is written: it is to finish what it does and end.
    pub(crate) fn close(&mut self) {
        self.writer = None;
    }

    /// Kills it, and whatever of its children is still in its process group.
    pub(crate) fn kill(&mut self) {
        self.writer = None;
        if self.status.is_none()
            && let Some(pid) = self.pid
        {
            // It is not reaped yet, so the number is still its own; it may have ended all the same.
            let _ = kill_process_group(pid, Signal::KILL);
            let _ = self.child.kill();
        }
    }

    /// Takes note of its end.
    pub(crate) fn reap(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status
    }

    /// Whether something of its standard output has come since this was asked last, or is being understood now.
    pub(crate) fn is_heard(&mut self) -> bool {
        let pieces = self.output.pieces.load(Ordering::SeqCst);
        let is_new = std::mem::replace(&mut self.pieces, pieces) != pieces;
        is_new || !self.output.is_silent.load(Ordering::SeqCst)
    }

    /// How it ended, in words.
    pub(crate) fn status_text(&self) -> Option<String> {
        self.status.map(|status| match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None) => "no exit status".to_owned(),
        })
    }

    /// Whether it ended by itself and without complaint.
    pub(crate) fn ended_well(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// The end of its standard error, in whole lines: the end of a secret would not be known for one.
    pub(crate) fn stderr_tail(&self) -> String {
        let tail = lock(&self.stderr);
        let first = if tail.cut { tail.bytes.iter().position(|byte| *byte == b'\n') } else { None };
        let skipped = first.map_or(if tail.cut { tail.bytes.len() } else { 0 }, |at| at + 1);
        let bytes: Vec<u8> = tail.bytes.iter().skip(skipped).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        // Reaps it; it has been killed, so this does not take long.
        let _ = self.child.wait();
    }
}

#[derive(Clone)]
struct Tell {
    id: ProcessId,
    keeper: Sender<Order>,
}

impl Tell {
    /// False when nobody listens any more.
    fn tell(&self, heard: Heard) -> bool {
        self.keeper.send(Order::Heard(self.id, heard)).is_ok()
    }
}

fn command(launch: &Launch, cwd: &PathBuf) -> Command {
    let mut command = Command::new(&launch.program);
    command.args(&launch.args).current_dir(cwd).process_group(0);
    launch.env.apply(&mut command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn write_lines(mut stdin: ChildStdin, lines: &Receiver<Outgoing>, tell: &Tell) {
    while let Ok(outgoing) = lines.recv() {
        let line = match outgoing {
            Outgoing::Line(line) => line,
            Outgoing::Message(message) => message.to_line(),
            Outgoing::Call(id, request) => match super::v1::encode(id, &request) {
                Some(message) => message.to_line(),
                None => continue,
            },
        };
        if stdin.write_all(&line).and_then(|()| stdin.flush()).is_err() {
            tell.tell(Heard::NotReading);
            return;
        }
    }
}

/// Standard output, with a note of when it is silent.
struct Watched<R> {
    inner: R,
    output: Arc<Output>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.output.is_silent.store(true, Ordering::SeqCst);
        let read = self.inner.read(buffer);
        self.output.is_silent.store(false, Ordering::SeqCst);
        self.output.pieces.fetch_add(1, Ordering::SeqCst);
        read
    }
}

fn read_lines(stdout: impl Read, limit: usize, tell: &Tell) {
    let mut reader = BufReader::with_capacity(64 * 1024, stdout);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut reader).take(limit as u64 + 1).read_until(b'\n', &mut line);
        let heard = match read {
            Ok(0) | Err(_) => break,
            Ok(_) if line.last() != Some(&b'\n') && line.len() > limit => Heard::TooLong,
            Ok(_) => match understand(line.trim_ascii()) {
                Some(heard) => heard,
                None => continue,
            },
        };
        let stop = matches!(heard, Heard::TooLong);
        if !tell.tell(heard) || stop {
            break;
        }
    }
    tell.tell(Heard::OutputEnded);
}

/// What a line says; an empty one says nothing.
fn understand(line: &[u8]) -> Option<Heard> {
    if line.is_empty() {
        return None;
    }
    Some(match parse_message(line) {
        Ok(message) => Heard::Message(message),
        Err(v1::ParseError::Envelope(_) | v1::ParseError::Json(_)) => match v0::parse_response(line) {
            Ok(response) => Heard::V0(response),
            Err(_) => Heard::Rubbish(line.to_vec()),
        },
    })
}

fn read_talk(stderr: impl Read, tail: &Mutex<Tail>, tell: &Tell) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        // A line without end is cut: it is only text for people.
        match (&mut reader).take(limits::PROVIDER_STDERR_BYTES as u64).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {
                let mut tail = lock(tail);
                tail.bytes.extend(&line);
                let excess = tail.bytes.len().saturating_sub(limits::PROVIDER_STDERR_BYTES);
                tail.bytes.drain(..excess);
                tail.cut |= excess > 0;
            }
        }
        if !tell.tell(Heard::Talk(String::from_utf8_lossy(line.trim_ascii_end()).into_owned())) {
            return;
        }
    }
    tell.tell(Heard::TalkEnded);
}

/// Waits without reaping, so that the number stays the process's own until the keeper has taken note.
fn wait_for(pid: Pid, tell: &Tell) {
    while let Err(error) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
        if error != rustix::io::Errno::INTR {
            break;
        }
    }
    tell.tell(Heard::Exited);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
