//! *State as a resource*: a log that is kept by a provider, one text that can be read and appended to.
//!
//! The engine wires [`HolderIo`] to the `state/*` methods of the provider; [`HolderBackend`] makes a backend of it. A
//! holder keeps no snapshots: its log is one text from the first line on.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use freehold_model::limits;

use crate::backend::{Backend, Cut, Loaded, Piece};
use crate::error::StateError;
use crate::lock::{LockInfo, LockRequest, Owner};

/// What the engine does for a holder: each is one request to its provider.
pub trait HolderIo: Send + Sync {
    /// How it is called in messages: "the state held by `x`".
    fn place(&self) -> String;
    /// The whole log and its version.
    fn read(&self) -> Result<HeldText, StateError>;
    /// Appends lines (each with its end) if the version is still `expected`, durably; [`Appended::MovedOn`] when not.
    fn append(&self, expected: &str, lines: &[String], fence: u64) -> Result<Appended, StateError>;
    /// Takes the lock, or with a token renews it.
    fn lock(&self, owner: &Owner, lease: Duration, token: Option<&str>) -> Result<HeldLock, StateError>;
    /// Gives the lock back; without a token, breaks whatever lock there is.
    fn unlock(&self, token: Option<&str>) -> Result<(), StateError>;
}

/// A log as a holder gives it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeldText {
    /// All lines; empty when there is nothing yet.
    pub text: String,
    /// Tells this text from any other.
    pub version: String,
}

/// Answer to an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// Done; the version is this now.
    Done(String),
    /// Somebody else has appended since it was read; nothing was done.
    MovedOn,
}

/// A lock that a holder gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLock {
    /// To renew it and to give it back.
    pub token: String,
    /// Greater than any before; 0 when the holder counts none.
    pub fence: u64,
}

/// A backend of what a holder can do.
pub struct HolderBackend {
    io: Box<dyn HolderIo>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    version: String,
    lock: Option<(Owner, String, u64)>,
}

impl HolderBackend {
    /// On top of the engine's requests.
    pub fn new(io: Box<dyn HolderIo>) -> Self {
        Self { io, inner: Mutex::new(Inner::default()) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append_text(&self, fence: u64, text: &[u8]) -> Result<(), StateError> {
        let mut inner = self.inner();
        match &inner.lock {
            Some((_, _, held)) if *held == fence => {}
            other => return Err(StateError::Fenced { ours: fence, now: other.as_ref().map_or(0, |l| l.2) }),
        }
        let text = String::from_utf8_lossy(text);
        let lines: Vec<String> = text.split_inclusive('\n').map(ToOwned::to_owned).collect();
        match self.io.append(&inner.version, &lines, fence)? {
            Appended::Done(version) => {
                inner.version = version;
                Ok(())
            }
            Appended::MovedOn => Err(StateError::MovedOn { place: self.io.place() }),
        }
    }
}

impl Backend for HolderBackend {
    fn place(&self) -> String {
        self.io.place()
    }

    fn load(&self, _before: Option<u64>) -> Result<Loaded, StateError> {
        let HeldText { text, version } = self.io.read()?;
        self.inner().version = version;
        let piece = Piece { name: self.io.place(), bytes: text.into_bytes() };
        Ok(Loaded { snapshot: None, pieces: vec![piece], promised: None })
    }

    fn version(&self) -> Result<String, StateError> {
        Ok(self.io.read()?.version)
    }

    fn acquire(&self, request: &LockRequest) -> Result<u64, StateError> {
        let lock = self.io.lock(&request.owner, limits::LOCK_LEASE, None)?;
        let fence = lock.fence.max(request.above + 1);
        self.inner().lock = Some((request.owner.clone(), lock.token, fence));
        Ok(fence)
    }

    fn renew(&self, fence: u64, _expires: u64) -> Result<(), StateError> {
        let held = self.inner().lock.clone();
        match held {
            Some((owner, token, held)) if held == fence => {
                self.io.lock(&owner, limits::LOCK_LEASE, Some(&token)).map(drop)
            }
            _ => Err(StateError::Fenced { ours: fence, now: 0 }),
        }
    }

    fn release(&self, fence: u64) -> Result<(), StateError> {
        let held = self.inner().lock.take_if(|(_, _, held)| *held == fence);
        held.map_or(Ok(()), |(_, token, _)| self.io.unlock(Some(&token)))
    }

    fn holder(&self) -> Result<Option<LockInfo>, StateError> {
        let held = self.inner().lock.clone();
        Ok(held.map(|(owner, _, fence)| LockInfo { owner, fence, expires: 0 }))
    }

    fn break_lock(&self) -> Result<Option<LockInfo>, StateError> {
        self.io.unlock(None)?;
        // A holder does not tell whose lock it was.
        let owner = Owner {
            user: "?".into(),
            host: "?".into(),
            pid: 0,
            machine: String::new(),
            command: "?".into(),
            started: "?".into(),
        };
        Ok(Some(LockInfo { owner, fence: 0, expires: 0 }))
    }

    /// Writes an empty line, which replay passes over. It shuts out a writer that lost the lock and does not know it: the version
    /// that it goes on from is gone. And a text cannot be cut, but a torn line is ended by it, and the next event takes its place.
    fn prepare(&self, fence: u64, _torn: Option<&Cut>) -> Result<(), StateError> {
        self.append_text(fence, b"\n")
    }

    fn can_cut(&self) -> bool {
        false
    }

    fn cut(&self, _fence: u64, _cut: &Cut) -> Result<(), StateError> {
        Err(StateError::Remote {
            step: "cut",
            place: self.io.place(),
            reason: "a holder only appends".to_owned(),
            kind: freehold_model::ErrorKind::Internal,
            hint: None,
        })
    }

    fn start_segment(&self, fence: u64, _segment: u64, header: &[u8]) -> Result<(), StateError> {
        self.append_text(fence, header)
    }

    fn append(&self, fence: u64, _segment: u64, lines: &[u8]) -> Result<(), StateError> {
        self.append_text(fence, lines)
    }

    fn keeps_snapshots(&self) -> bool {
        false
    }

    /// Not kept: the text has everything.
    fn write_snapshot(&self, _fence: u64, _segment: u64, _bytes: &[u8]) -> Result<(), StateError> {
        Ok(())
    }
}
