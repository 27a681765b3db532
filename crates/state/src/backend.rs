//! Where a log is kept: the trait that files, object stores and holders implement.
//!
//! A backend knows pieces of bytes, a lock with a fencing token, and nothing of events. To add one: implement
//! [`Backend`], and run the stories of `tests/s3_backend.rs` on it.

use crate::error::StateError;
use crate::lock::{LockInfo, LockRequest};

/// A file or object that holds lines of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// How it is called in messages; unique.
    pub name: String,
    /// Its contents.
    pub bytes: Vec<u8>,
}

/// What a backend has to replay: a snapshot, and the pieces from the segment of that snapshot's number on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The newest snapshot, with its number.
    pub snapshot: Option<(u64, Piece)>,
    /// All pieces of the log since then (or from the first on), in order.
    pub pieces: Vec<Piece>,
    /// Name of the last piece that is known to have been durable. It must be among them.
    pub promised: Option<String>,
}

/// Which part of the log is moved aside: everything from a place on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The piece in which it begins.
    pub piece: String,
    /// Byte offset in it.
    pub offset: usize,
    /// The pieces after it.
    pub later: Vec<String>,
    /// `torn` after a crash, `damaged` by a repair: becomes part of the name of what is kept.
    pub why: &'static str,
}

/// A place for a log.
///
/// Everything that writes takes the fencing token of its writer, and is refused with [`StateError::Fenced`] when a
/// greater one is in force. Whatever returns `Ok` is durable.
pub trait Backend: Send + Sync {
    /// How it is called in messages.
    fn place(&self) -> String;

    /// The newest snapshot numbered less than `before` (or the newest of all), and the log from there on.
    fn load(&self, before: Option<u64>) -> Result<Loaded, StateError>;

    /// Changes whenever the log does; cheap.
    fn version(&self) -> Result<String, StateError>;

    /// Takes the lock and returns its token.
    fn acquire(&self, request: &LockRequest) -> Result<u64, StateError>;

    /// Moves the end of the lease on.
    fn renew(&self, fence: u64, expires: u64) -> Result<(), StateError>;

    /// Gives the lock back; nothing happens when it is another's.
    fn release(&self, fence: u64) -> Result<(), StateError>;

    /// Who holds the lock.
    fn holder(&self) -> Result<Option<LockInfo>, StateError>;

    /// Takes the lock away from whoever holds it, and returns who that was.
    fn break_lock(&self) -> Result<Option<LockInfo>, StateError>;

    /// Makes the log ready to be gone on with: what a crash left torn is moved aside, the rest made durable.
    fn prepare(&self, fence: u64, torn: Option<&Cut>) -> Result<(), StateError> {
        torn.map_or(Ok(()), |cut| self.cut(fence, cut))
    }

    /// Whether [`Self::cut`] can be done: where not, a repair says in the log itself what is no part of it.
    fn can_cut(&self) -> bool {
        true
    }

    /// Moves a part of the log aside. Nothing is deleted.
    fn cut(&self, fence: u64, cut: &Cut) -> Result<(), StateError>;

    /// Begins a segment with its header line.
    fn start_segment(&self, fence: u64, segment: u64, header: &[u8]) -> Result<(), StateError>;

    /// Adds lines to the segment: all of them or none.
    fn append(&self, fence: u64, segment: u64, lines: &[u8]) -> Result<(), StateError>;

    /// Whether so much was written since the last snapshot that reading it all would take long.
    fn wants_snapshot(&self) -> bool {
        false
    }

    /// Whether [`Self::write_snapshot`] keeps anything: without, a log is always read from its first line on.
    fn keeps_snapshots(&self) -> bool {
        true
    }

    /// Keeps a snapshot of what was before `segment`.
    fn write_snapshot(&self, fence: u64, segment: u64, bytes: &[u8]) -> Result<(), StateError>;
}
