//! One writer: who holds the lock, until when, and with which fencing token.
//!
//! The token grows with every holder and stands in every line. A backend refuses what carries an old one, so a writer
//! that was paused and dispossessed cannot write. `plan` takes no lock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use freehold_model::limits;
use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::clock::{Clock, rfc3339};
use crate::error::StateError;

/// Who works on the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// User name.
    pub user: String,
    /// Host name.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// Where process ids mean the same: the running system and the name space of its process ids. Empty when that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub machine: String,
    /// The command line, without secrets.
    pub command: String,
    /// When it started (RFC 3339).
    pub started: String,
}

impl Owner {
    /// This process.
    pub fn current(command: impl Into<String>, clock: &dyn Clock) -> Self {
        let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
        Self {
            user: user.unwrap_or_else(|_| format!("uid{}", rustix::process::getuid().as_raw())),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid: std::process::id(),
            machine: this_machine(),
            command: command.into(),
            started: rfc3339(clock.unix_millis()),
        }
    }

    /// As it stands in the log: `ada@host`.
    pub fn who(&self) -> String {
        format!("{}@{}", self.user, self.host)
    }
}

/// The boot of this system and the name space of process ids: of two processes that have the same, each sees the other.
fn this_machine() -> String {
    let boot = fs_err::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = fs_err::read_link("/proc/self/ns/pid").unwrap_or_default();
    match (boot.trim(), space.to_string_lossy()) {
        (boot, space) if !boot.is_empty() && !space.is_empty() => format!("{boot} {space}"),
        _ => String::new(),
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` on `{}` (pid {}, `{}`, since {})", self.user, self.host, self.pid, self.command, self.started)
    }
}

/// The lock as it is kept: its holder, or the last token when nobody holds it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LockFile {
    /// The last token that was given.
    pub fence: u64,
    /// Who holds it; `None` when it is free.
    pub owner: Option<Owner>,
    /// End of the lease in milliseconds since the epoch; moved on while the holder lives.
    pub expires: u64,
    /// Number of the last part of the log that is known to be durable; 0 before the first. A log that ends before it has lost
    /// something.
    #[serde(default)]
    pub written: u64,
}

/// A lock that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockInfo {
    /// By whom.
    pub owner: Owner,
    /// With which token.
    pub fence: u64,
    /// End of its lease, in milliseconds since the epoch.
    pub expires: u64,
}

impl std::fmt::Display for LockInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, lease until {}", self.owner, rfc3339(self.expires))
    }
}

impl LockFile {
    /// The holder, if there is one.
    pub fn info(&self) -> Option<LockInfo> {
        let owner = self.owner.clone()?;
        Some(LockInfo { owner, fence: self.fence, expires: self.expires })
    }

    /// Lease ran out.
    pub(crate) fn expired(&self, now: u64) -> bool {
        self.expires <= now
    }
}

/// What is asked of a backend's lock.
#[derive(Debug, Clone)]
pub struct LockRequest {
    /// For whom.
    pub owner: Owner,
    /// The time, in milliseconds since the epoch.
    pub now: u64,
    /// The token must be greater than this: the last one in the log.
    pub above: u64,
}

/// End of a lease that begins now.
pub(crate) fn lease_end(now: u64) -> u64 {
    now + u64::try_from(limits::LOCK_LEASE.as_millis()).unwrap_or(u64::MAX / 2)
}

/// What the store, the guard and the thread that renews share.
pub(crate) struct Held {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) fence: u64,
    released: AtomicBool,
    stop: (Mutex<bool>, Condvar),
}

impl Held {
    pub(crate) fn is_usable(&self) -> bool {
        !self.released.load(Ordering::Acquire)
    }

    fn renew(&self) -> Result<(), StateError> {
        self.backend.renew(self.fence, lease_end(self.clock.unix_millis()))
    }

    /// Renews until told to stop or dispossessed. A failure that may pass is tried again: the lease is four times as
    /// long as the pause, and a writer that has lost it all the same is refused by its token.
    fn renew_until_stopped(&self) {
        let (stopped, wake) = &self.stop;
        let mut guard = stopped.lock().unwrap_or_else(PoisonError::into_inner);
        while !*guard {
            let waited = wake.wait_timeout(guard, limits::LOCK_RENEW).unwrap_or_else(PoisonError::into_inner);
            guard = waited.0;
            if !*guard && waited.1.timed_out() && matches!(self.renew(), Err(StateError::Fenced { .. })) {
                return;
            }
        }
    }
}

/// The lock on the state; released when dropped.
pub struct LockGuard {
    pub(crate) held: Arc<Held>,
    renewing: Option<JoinHandle<()>>,
}

impl LockGuard {
    pub(crate) fn new(
        backend: Arc<dyn Backend>,
        clock: Arc<dyn Clock>,
        fence: u64,
        renew: bool,
    ) -> Result<Self, StateError> {
        let held = Arc::new(Held {
            backend,
            clock,
            fence,
            released: AtomicBool::new(false),
            stop: (Mutex::new(false), Condvar::new()),
        });
        let renewing = renew.then(|| {
            let held = held.clone();
            std::thread::Builder::new().name("state-lease".to_owned()).spawn(move || held.renew_until_stopped())
        });
        let mut guard = Self { held, renewing: None };
        // When the thread cannot be had, dropping the guard releases the lock again.
        guard.renewing =
            renewing.transpose().map_err(|e| StateError::io("start the thread that renews", "the lock", e))?;
        Ok(guard)
    }

    /// The fencing token.
    pub fn fence(&self) -> u64 {
        self.held.fence
    }

    /// Moves the end of the lease on. Done by a thread of its own, except where the caller drives the store himself.
    ///
    /// # Errors
    /// [`StateError::Fenced`] when the lock is another's by now.
    pub fn renew(&self) -> Result<(), StateError> {
        self.held.renew()
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        let (stopped, wake) = &self.held.stop;
        *stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        wake.notify_all();
        if let Some(thread) = self.renewing.take() {
            // It holds no invariant: if it panicked there is nothing to mend.
            let _ = thread.join();
        }
        self.held.released.store(true, Ordering::Release);
        // Nobody is left to tell; the lease runs out by itself.
        let _ = self.held.backend.release(self.held.fence);
    }
}
