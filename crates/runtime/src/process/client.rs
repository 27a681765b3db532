//! Talking to a supervisor: one line to its socket, one line back.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use freehold_model::limits;
use freehold_rollout::Settling;
use serde::{Deserialize, Serialize};

use super::place::Place;
use crate::RuntimeError;

/// What a supervisor says of its child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The process; `None` between two starts, or when it is not started again.
    pub pid: Option<i32>,
    /// How often it was started again.
    pub restarts: u32,
    /// Milliseconds since the last start.
    pub since_millis: u64,
    /// How it ended last.
    pub ended: Option<String>,
    /// Whether it is started again when it ends.
    pub goes_on: bool,
    /// Whether it runs without a supervisor, because that was killed.
    #[serde(default)]
    pub is_orphan: bool,
    /// Whether it runs until its work is done, and not for ever.
    #[serde(default)]
    pub is_oneshot: bool,
    /// Whether that work is done.
    #[serde(default)]
    pub is_done: bool,
    /// How long its log was before it began: what earlier releases have said.
    #[serde(default)]
    pub log_from: u64,
}

impl Status {
    pub(crate) fn orphan(pid: i32) -> Self {
        Self {
            pid: Some(pid),
            restarts: 0,
            since_millis: 0,
            ended: None,
            goes_on: false,
            is_orphan: true,
            is_oneshot: false,
            is_done: false,
            log_from: 0,
        }
    }

    /// Whether it runs, or will by itself. What ended for good, or lost its supervisor, is to be started anew.
    pub(crate) fn is_running(&self) -> bool {
        !self.is_orphan && (self.pid.is_some() || self.goes_on || self.is_done)
    }

    /// What it means for a rollout: a release that ends by itself has not settled, however often it is started again. One that was
    /// started again and has lasted since has.
    pub(crate) fn settling(&self) -> Settling {
        let ended = self.ended.as_deref().unwrap_or("never started");
        let has_lasted = u128::from(self.since_millis) >= limits::PROCESS_SETTLED.as_millis();
        match self.pid {
            _ if self.is_orphan => Settling::Broken { reason: "its supervisor was killed".to_owned() },
            None if self.is_done => Settling::Settled,
            Some(_) if self.is_oneshot => Settling::Busy { reason: "its work is not done yet".to_owned() },
            Some(_) if self.restarts == 0 || has_lasted => Settling::Settled,
            Some(_) => Settling::Broken { reason: format!("it ended ({ended}) and was started again") },
            None if self.goes_on => Settling::Broken { reason: format!("it ended ({ended})") },
            None => Settling::Broken { reason: format!("it ended ({ended}) and is not started again") },
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pid {
            Some(pid) if self.is_orphan => write!(f, "process {pid} without a supervisor"),
            Some(pid) => write!(f, "process {pid}, started again {} times", self.restarts),
            None if self.is_done => f.write_str("its work is done"),
            None => write!(f, "ended ({})", self.ended.as_deref().unwrap_or("never started")),
        }
    }
}

/// What the supervisor of an instance says; `None` when there is none.
pub(crate) fn status(place: &Place) -> Option<Status> {
    let line = ask(place, "status")?;
    serde_json::from_str(&line).ok()
}

/// Ends the supervisor and its child; waits until both are gone. Gives the lock, which keeps another supervisor from beginning.
pub(crate) fn stop(place: &Place) -> Result<fs_err::File, RuntimeError> {
    let mut asked = false;
    let end = Instant::now() + limits::PROCESS_STOP + Duration::from_secs(10);
    loop {
        // Gone is who no longer holds the lock, not who said so.
        if let Some(lock) = place.lock()? {
            return Ok(lock);
        }
        asked = asked || ask(place, "stop").is_some();
        if Instant::now() > end {
            let what = format!("the supervisor in `{}`", place.dir().display());
            return Err(RuntimeError::TooLong { what, action: "end", seconds: limits::PROCESS_STOP.as_secs() + 10 });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn ask(place: &Place, question: &str) -> Option<String> {
    let mut stream = connect(place)?;
    stream.set_read_timeout(Some(limits::SUPERVISOR_ANSWER)).ok()?;
    stream.write_all(format!("{question}\n").as_bytes()).ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    (!line.is_empty()).then_some(line)
}

/// A socket's path has to be short, and a state directory need not be: it is reached by way of its open directory.
fn connect(place: &Place) -> Option<UnixStream> {
    let dir = fs_err::File::open(place.dir()).ok()?;
    use std::os::fd::AsRawFd as _;
    UnixStream::connect(format!("/proc/self/fd/{}/socket", dir.file().as_raw_fd())).ok()
}
