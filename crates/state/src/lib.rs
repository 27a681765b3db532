//! What Freehold remembers: an append-only log of events, the state it amounts to, its lock, and the places it is kept in.
//!
//! Deliberately without planning and without providers: it is told what happened and says what is recorded.
//! Read [`event`] (what is written), [`state`] (what it means), [`store`] (how it is used), then one backend: [`file`].

pub mod backend;
pub mod clock;
pub mod commands;
pub mod disk;
pub mod event;
pub mod file;
pub mod holder;
pub mod keys;
pub mod lock;
pub mod nixops4;
pub mod s3;
pub mod simulate;
pub mod state;
pub mod store;

mod codec;
mod commit;
mod error;
mod line;
mod replay;
mod seal;
mod snapshot;

pub use backend::{Backend, Cut};
pub use clock::{Clock, SystemClock};
pub use commit::Done;
pub use error::StateError;
pub use event::{Action, Begin, Event, NewEvent, OpId, Outcome, Partial, Seq};
pub use file::{FileBackend, STATE_DIRECTORY};
pub use holder::{HolderBackend, HolderIo};
pub use keys::{Keys, MadeKeys, RECIPIENTS_FILE};
pub use line::LOG_FORMAT;
pub use lock::{LockGuard, LockInfo, Owner};
pub use nixops4::{import_nixops4, parse_nixops4};
pub use replay::parse_log;
pub use s3::S3Backend;
pub use state::{HistoryEntry, Intent, Stamp, State};
pub use store::Store;
