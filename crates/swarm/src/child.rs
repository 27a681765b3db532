//! A program of others, run to its end, with a limit of time that holds.
//!
//! What it leaves behind may keep its pipes open for ever: a credential helper that hangs, the master of ssh connections. So the
//! pipes are read for a moment more when it has ended, and then no longer waited for.

use std::io::{Read, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use freehold_model::limits;

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Whether it ended well; `None` when it did not end in time, and was killed.
    pub well: Option<bool>,
    /// The first bytes of its standard output.
    pub out: Vec<u8>,
    /// The first bytes of what it complained of.
    pub err: Vec<u8>,
}

/// Runs a program without input to its end, and keeps the first `most` bytes of its output.
///
/// # Errors
/// It cannot be started.
pub fn run_within(command: &mut Command, limit: Duration, most: usize) -> std::io::Result<Ended> {
    Ok(Running::start(command, most)?.end_within(limit))
}

/// A program that was started, and what is read of it meanwhile.
struct Running {
    child: Child,
    out: Option<Pipe>,
    err: Option<Pipe>,
}

impl Running {
    fn start(command: &mut Command, most: usize) -> std::io::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let out = child.stdout.take().map(|pipe| Pipe::read(pipe, most));
        let err = child.stderr.take().map(|pipe| Pipe::read(pipe, limits::DOCKER_WORDS_BYTES));
        Ok(Self { child, out, err })
    }

    fn end_within(mut self, limit: Duration) -> Ended {
        let well = end(&mut self.child, limit);
        let kept = |pipe: Option<Pipe>| pipe.map(Pipe::kept).unwrap_or_default();
        Ended { well, out: kept(self.out), err: kept(self.err) }
    }
}

/// Whether it ended well; `None` when it did not end in time, and was killed.
fn end(child: &mut Child, limit: Duration) -> Option<bool> {
    let end = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.success()),
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
            _ => {
                // It is ours, and still there.
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

/// A pipe that is read to its end by a thread of its own.
struct Pipe {
    kept: Arc<Mutex<Vec<u8>>>,
    ended: mpsc::Receiver<()>,
}

impl Pipe {
    fn read(mut pipe: impl Read + Send + 'static, most: usize) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (end, ended) = mpsc::channel();
        let into = Arc::clone(&kept);
        std::thread::spawn(move || {
            let mut piece = [0; 16 * 1024];
            while let Ok(length @ 1..) = pipe.read(&mut piece) {
                let mut into = into.lock().unwrap_or_else(PoisonError::into_inner);
                let room = most.saturating_sub(into.len()).min(length);
                let _ = into.write_all(piece.get(..room).unwrap_or_default());
            }
            // Who waits no longer needs no word.
            let _ = end.send(());
        });
        Self { kept, ended }
    }

    /// What was read. All that the program itself wrote is there: it was in the pipe before it ended.
    fn kept(self) -> Vec<u8> {
        let _ = self.ended.recv_timeout(limits::DOCKER_LAST_WORDS);
        std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_it_says_is_kept_up_to_a_limit() {
        let mut command = sh("echo 0123456789abc; echo words >&2; exit 3");
        let ended = run_within(&mut command, Duration::from_secs(600), 10).unwrap();
        assert_eq!(
            (ended.well, ended.out.as_slice(), ended.err.as_slice()),
            (Some(false), &b"0123456789"[..], &b"words\n"[..])
        );
    }

    #[test]
    fn who_keeps_the_pipes_open_is_not_waited_for() {
        // As a credential helper that hangs: it goes on when the program that started it is gone.
        let told = [("exit 1", Duration::from_secs(600), Some(false)), ("sleep 3600", Duration::ZERO, None)];
        for (then, limit, well) in told {
            let mut command = sh(&format!("sleep 3600 & echo words >&2; echo $!; {then}"));
            let running = Running::start(&mut command, 100).unwrap();
            // It is given no time only when it has said all, however long it takes to begin.
            while !running.out.as_ref().unwrap().kept.lock().unwrap().ends_with(b"\n") {
                std::thread::sleep(Duration::from_millis(5));
            }
            let ended = running.end_within(limit);
            assert_eq!((ended.well, ended.err.as_slice()), (well, &b"words\n"[..]));
            // Whoever has the pipes is there still: nobody has waited for it.
            let helper = String::from_utf8(ended.out).unwrap();
            assert!(Command::new("kill").arg(helper.trim()).status().unwrap().success(), "{helper} has ended");
        }
    }
}
