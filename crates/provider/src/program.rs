//! Following a program to its end: its input and outputs flow at the same time, so that no size can block it; it can be stopped;
//! and what it leaves behind cannot hold us. For whoever runs programs on behalf of a deployment.

use std::io::{self, Read, Write};
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use freehold_model::limits;
use freehold_protocol::v1::OutputStream;

/// How often a running program is looked at.
const TICK: Duration = Duration::from_millis(20);
/// How long the outputs of a program that has ended may still flow: something that it started may hold them open.
const PIPES_AFTER_EXIT: Duration = Duration::from_secs(2);
/// How long its last words are waited for when it was asked to end: it may have been asked by somebody who waits.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Pieces of output that wait to be heard.
const QUEUE: usize = 64;

/// What is wished of a program while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// It may go on.
    GoOn,
    /// It is asked to end, and killed when it does not.
    Stop,
    /// It is killed.
    Kill,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Exited(ExitStatus),
    /// Because it was wished.
    Stopped,
    /// Because it took longer than this.
    TimedOut(Duration),
}

/// Follows `child` (with its pipes) to its end: feeds it `stdin` and hands on what it prints as it comes.
///
/// # Errors
/// When the system does not say how it is.
pub fn follow(
    child: &mut Child,
    stdin: Option<String>,
    timeout: Option<Duration>,
    wish: &dyn Fn() -> Wish,
    heard: &mut dyn FnMut(OutputStream, &[u8]),
) -> io::Result<Ended> {
    if let (Some(text), Some(mut pipe)) = (stdin, child.stdin.take()) {
        // A program that does not read its input is free not to.
        thread::spawn(move || drop(pipe.write_all(text.as_bytes())));
    }
    let (tell, pipes) = sync_channel(QUEUE);
    if let Some(pipe) = child.stdout.take() {
        listen(pipe, OutputStream::Stdout, tell.clone());
    }
    if let Some(pipe) = child.stderr.take() {
        listen(pipe, OutputStream::Stderr, tell.clone());
    }
    drop(tell);
    let mut watch =
        Watch { started: Instant::now(), timeout, stopping: None, ended: None, silence: Duration::ZERO, pieces: 0 };
    loop {
        let news = hear(&pipes, heard);
        if let Some(ended) = watch.look(child, news, wish)? {
            for (stream, data) in pipes.try_iter().take(QUEUE) {
                heard(stream, &data);
            }
            return Ok(ended);
        }
        if news == News::Closed {
            thread::sleep(TICK.min(Duration::from_millis(2)));
        }
    }
}

type Piece = (OutputStream, Vec<u8>);

fn listen(mut pipe: impl Read + Send + 'static, stream: OutputStream, tell: SyncSender<Piece>) {
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read) = pipe.read(&mut buffer) {
            if read == 0 || tell.send((stream, buffer[..read].to_vec())).is_err() {
                return;
            }
        }
    });
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum News {
    Piece,
    Silence,
    Closed,
}

/// Hands on one piece, or waits a moment.
fn hear(pipes: &Receiver<Piece>, heard: &mut dyn FnMut(OutputStream, &[u8])) -> News {
    match pipes.recv_timeout(TICK) {
        Ok((stream, data)) => {
            heard(stream, &data);
            News::Piece
        }
        Err(RecvTimeoutError::Timeout) => News::Silence,
        Err(RecvTimeoutError::Disconnected) => News::Closed,
    }
}

struct Watch {
    started: Instant,
    timeout: Option<Duration>,
    /// Since when, and what it will have been.
    stopping: Option<(Instant, Ended)>,
    ended: Option<ExitStatus>,
    /// What came after its end: only time in which nothing came counts, so that a slow listener loses nothing; and there are
    /// only so many pieces that can be its own.
    silence: Duration,
    pieces: usize,
}

impl Watch {
    fn look(&mut self, child: &mut Child, news: News, wish: &dyn Fn() -> Wish) -> io::Result<Option<Ended>> {
        if self.ended.is_none() {
            self.ended = child.try_wait()?;
        } else {
            self.silence += if news == News::Silence { TICK } else { Duration::ZERO };
            self.pieces += usize::from(news == News::Piece);
        }
        let wish = wish();
        match (self.ended, self.stopping) {
            (Some(_), Some((_, ended))) => {
                let enough = news == News::Closed || self.silence > LAST_WORDS || self.pieces > 2 * QUEUE;
                return Ok((enough || wish == Wish::Kill).then_some(ended));
            }
            (Some(status), None) => {
                let foreign = self.silence > PIPES_AFTER_EXIT || self.pieces > 2 * QUEUE;
                let enough = news == News::Closed || foreign || wish != Wish::GoOn;
                return Ok(enough.then_some(Ended::Exited(status)));
            }
            (None, Some((since, _))) if wish == Wish::Kill || since.elapsed() > limits::PROGRAM_STOP => child.kill()?,
            (None, Some(_)) => {}
            (None, None) => {
                let late = self.timeout.filter(|limit| self.started.elapsed() > *limit).map(Ended::TimedOut);
                let because = if wish == Wish::GoOn { late } else { Some(Ended::Stopped) };
                if let Some(because) = because {
                    self.stopping = Some((Instant::now(), because));
                    ask_to_end(child);
                }
            }
        }
        Ok(None)
    }
}

fn ask_to_end(child: &Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        // It is not reaped, so the number is its own; that it has ended meanwhile does no harm.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::process::{Command, Stdio};

    use super::*;

    /// What became of a script, what it said, and how long it took. `wish` is what is wished once it has said that it is ready; how often
    /// it was wished comes last.
    fn check(script: &str, wish: Wish) -> (Ended, String, Duration, u32) {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (said, began, wished) = (RefCell::new(String::new()), Instant::now(), Cell::new(0));
        let asked = || {
            if !said.borrow().contains("ready") {
                return Wish::GoOn;
            }
            wished.set(wished.get() + 1);
            wish
        };
        let ended = follow(&mut child, Some("in".into()), None, &asked, &mut |_, data| {
            said.borrow_mut().push_str(&String::from_utf8_lossy(data));
        });
        (ended.unwrap(), said.take(), began.elapsed(), wished.get())
    }

    #[test]
    fn what_it_prints_is_heard_to_the_end() {
        let (ended, said, ..) = check("cat; sleep 0.1; echo out; echo err >&2; exit 3", Wish::GoOn);
        assert!(matches!(ended, Ended::Exited(status) if status.code() == Some(3)));
        assert!(said.starts_with("in") && said.contains("out") && said.contains("err"), "{said}");
    }

    #[test]
    fn what_it_leaves_behind_with_its_pipes_does_not_hold_us() {
        let (ended, said, took, _) = check("sleep 120 & echo left", Wish::GoOn);
        assert!(matches!(ended, Ended::Exited(status) if status.success()));
        assert_eq!(said, "left\n");
        assert!(took < Duration::from_secs(60), "{took:?}");
    }

    #[test]
    fn what_it_leaves_behind_may_even_go_on_printing() {
        let (ended, _, took, _) = check("(yes & echo $! > /dev/null) ; exit 4", Wish::GoOn);
        assert!(matches!(ended, Ended::Exited(status) if status.code() == Some(4)));
        assert!(took < Duration::from_secs(60), "{took:?}");
    }

    #[test]
    fn one_that_is_asked_to_end_ends_and_one_that_will_not_is_killed() {
        let waits = "echo ready; while :; do sleep 0.05; done";
        let (ended, said, ..) = check(&format!("trap 'echo bye; exit 0' TERM; {waits}"), Wish::Stop);
        assert_eq!((ended, said.as_str()), (Ended::Stopped, "ready\nbye\n"));
        let (ended, .., wished) = check(&format!("trap '' TERM; {waits}"), Wish::Kill);
        assert_eq!(ended, Ended::Stopped);
        // A program that is only asked is looked at until it is time to kill it. Looks are counted, for time passes on a busy machine too.
        assert!(TICK * wished * 2 < limits::PROGRAM_STOP, "{wished} looks");
    }
}
