//! What can go wrong with the state: one variant per failed step, each with a kind and, where there is one, the way out.
//!
//! Errors are `Clone`, because one failed commit answers several appends.

use std::sync::Arc;

use freehold_model::{ErrorKind, MemberPath};

use crate::lock::LockInfo;

/// Why something could not be read from, or written to, the state.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// A file operation failed.
    #[error("cannot {step} `{path}`")]
    Io {
        /// What was being done: `read`, `append to`, ….
        step: &'static str,
        /// The file or directory.
        path: String,
        /// What the system said.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The disk is full; the log was put back to its last durable line.
    #[error("the disk that holds `{path}` is full; what was durable before is intact")]
    DiskFull {
        /// The log.
        path: String,
        /// What the system said.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The log is damaged in a place that had been durable.
    #[error("the state log is corrupt at byte {offset} of `{piece}`: {reason}")]
    Corrupt {
        /// Segment, snapshot or object.
        piece: String,
        /// Byte offset in it.
        offset: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A part of the log that had been durable is not there any more, or begins otherwise.
    #[error("`{piece}` of the state log is gone, empty or overwritten, and records were kept in it")]
    Lost {
        /// Segment or object.
        piece: String,
    },
    /// Two writers have both continued the same log.
    #[error("the state log forks at byte {offset} of `{piece}`: {reason}")]
    Forked {
        /// Segment or object.
        piece: String,
        /// Byte offset in it.
        offset: usize,
        /// How that shows.
        reason: String,
    },
    /// Written by a later Freehold.
    #[error("`{piece}` has {what}, which this version of freehold does not know")]
    Newer {
        /// Segment or snapshot.
        piece: String,
        /// The format or event.
        what: String,
    },
    /// Somebody else works on the deployment.
    #[error("the state is locked by {holder}")]
    Held {
        /// Who.
        holder: Box<LockInfo>,
    },
    /// Our lock was broken or has run out, and another writer may be at work: nothing of ours was written.
    #[error("the lock on the state was lost (fencing token {ours}, now {now}); nothing further was written")]
    Fenced {
        /// The token this writer has.
        ours: u64,
        /// The token in force.
        now: u64,
    },
    /// Another writer has appended since the log was read.
    #[error("{place} has been written to by another since it was read; nothing of ours was written")]
    MovedOn {
        /// Which log.
        place: String,
    },
    /// Something was to be written without the lock.
    #[error("the state cannot be written without holding its lock")]
    NotLocked,
    /// An earlier write failed, so what is in memory is ahead of what is durable.
    #[error("the state is closed to writing since an earlier write failed")]
    Stopped {
        /// That failure.
        #[source]
        source: Arc<StateError>,
    },
    /// A secret is needed whose key is not here.
    #[error("the secrets of `{member}` cannot be read: no identity at hand opens them")]
    Locked {
        /// Whose secrets.
        member: String,
    },
    /// The key file cannot be used.
    #[error("cannot use the identity file `{path}`: {reason}")]
    Identity {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The recipients file cannot be used.
    #[error("line {line} of the recipients file `{path}` is not an age recipient: `{text}`")]
    Recipient {
        /// The file.
        path: String,
        /// From 1.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// There is a secret to record and nobody to encrypt it for.
    #[error("there is no recipient to encrypt secrets for")]
    NoRecipients,
    /// Encryption or random numbers failed.
    #[error("cannot encrypt a secret: {reason}")]
    Seal {
        /// Why.
        reason: String,
    },
    /// A member has no record.
    #[error("`{member}` has no record in the state")]
    NoRecord {
        /// Which.
        member: MemberPath,
    },
    /// A record stands where another should go.
    #[error("`{member}` has a record already")]
    Occupied {
        /// Where.
        member: MemberPath,
    },
    /// Work on a member was begun and never ended.
    #[error("`{member}` has an operation that began and did not end")]
    Open {
        /// Which.
        member: MemberPath,
    },
    /// An operation was to begin under the id of one that did not end.
    #[error("the id `{op}` of the operation on `{member}` is that of an operation on `{open}` that did not end")]
    OpTaken {
        /// The id.
        op: String,
        /// Whose operation was to begin.
        member: MemberPath,
        /// Whose is open.
        open: MemberPath,
    },
    /// An event is too long for the log.
    #[error("{what} needs {bytes} bytes in the state, and a line of it holds {limit}")]
    LineTooLong {
        /// Which event, in words.
        what: String,
        /// Its length.
        bytes: usize,
        /// The longest there may be.
        limit: usize,
    },
    /// The object store does not refuse a second writer.
    #[error("{store} ignores the conditions of conditional writes, so it cannot refuse a second writer")]
    Unconditional {
        /// Which store.
        store: String,
    },
    /// The object store or a holder failed.
    #[error("cannot {step} {place}: {reason}")]
    Remote {
        /// What was being done.
        step: &'static str,
        /// Where.
        place: String,
        /// Why.
        reason: String,
        /// Who has to act.
        kind: ErrorKind,
        /// The way out, if it is known.
        hint: Option<String>,
    },
    /// A file of NixOps4 state cannot be read.
    #[error("this is not NixOps4 state: event {event} {reason}")]
    NixOps4 {
        /// Which event, from 0.
        event: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A record cannot be written as NixOps4 state.
    #[error("`{member}` has {what}, which NixOps4 state cannot keep")]
    NotInNixOps4 {
        /// Whose.
        member: MemberPath,
        /// What is in the way.
        what: String,
    },
    /// There is nothing like that in the log's history.
    #[error("the log has no event {seq} (it reaches from {first} to {last})")]
    NoSuchEvent {
        /// Asked for.
        seq: u64,
        /// First there is.
        first: u64,
        /// Last there is.
        last: u64,
    },
}

impl StateError {
    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } | Self::DiskFull { .. } | Self::Corrupt { .. } | Self::Lost { .. } | Self::Seal { .. } => {
                ErrorKind::Host
            }
            Self::Forked { .. }
            | Self::Held { .. }
            | Self::Fenced { .. }
            | Self::NoRecord { .. }
            | Self::Occupied { .. }
            | Self::Open { .. }
            | Self::NixOps4 { .. }
            | Self::NotInNixOps4 { .. }
            | Self::LineTooLong { .. }
            | Self::NoSuchEvent { .. } => ErrorKind::User,
            Self::MovedOn { .. } | Self::OpTaken { .. } => ErrorKind::Transient,
            Self::Newer { .. }
            | Self::Locked { .. }
            | Self::Identity { .. }
            | Self::Recipient { .. }
            | Self::NoRecipients
            | Self::Unconditional { .. } => ErrorKind::Config,
            Self::NotLocked => ErrorKind::Internal,
            Self::Stopped { source } => source.kind(),
            Self::Remote { kind, .. } => *kind,
        }
    }

    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::DiskFull { .. } => {
                "free some space and run the command again: what was under way is found as open intents"
            }
            Self::Corrupt { .. } => {
                "`freehold state repair` restores the longest valid prefix and moves the rest aside; a backup may hold more"
            }
            Self::Lost { .. } => {
                "restore it from a copy; or go on with what is left by `freehold state repair`: what only it recorded is then no longer known"
            }
            Self::Forked { .. } => {
                "two writers worked at once; keep one line of history with `freehold state repair` and compare the other by hand"
            }
            Self::Newer { .. } => "use the version of freehold that wrote it, or a later one",
            Self::Held { .. } => {
                "wait for it to finish; if it is gone for good, `freehold state unlock` shows it and breaks the lock"
            }
            Self::Fenced { .. } => {
                "see `freehold state unlock` for who holds the lock now; run the command again when they are done"
            }
            Self::Locked { .. } => {
                "point FREEHOLD_IDENTITY to an identity that is a recipient, or ask an operator who has one to add yours \
                 (`freehold identity` prints it) to `freehold.recipients` and run `freehold state rekey`"
            }
            Self::Identity { .. } => {
                "an identity file holds a line `AGE-SECRET-KEY-1…` and is readable by its owner alone (chmod 600)"
            }
            Self::Recipient { .. } => {
                "write one recipient per line (`age1…`), comments after `#`; `freehold identity` prints yours"
            }
            Self::NoRecipients => "`freehold init` makes an identity and lists it in `freehold.recipients`",
            Self::NoRecord { .. } => "`freehold state list` shows what is recorded",
            Self::Occupied { .. } => "drop that record first (`freehold state rm`), or choose another path",
            Self::Open { .. } => "run `freehold apply` or `freehold status` first: it resolves what a crash left open",
            Self::Unconditional { .. } => {
                "use a store that honours If-None-Match (AWS S3, MinIO, Ceph), or say `singleWriter = true` if only one operator ever writes"
            }
            Self::MovedOn { .. } | Self::OpTaken { .. } => "run the command again",
            Self::LineTooLong { .. } => "keep what is that large in a file, and give the resource its path",
            Self::NotInNixOps4 { .. } => {
                "keep its record in a holder that speaks protocol v1, or in the deployment's own state"
            }
            Self::Stopped { source } => return source.hint(),
            Self::Remote { hint, .. } => return hint.clone(),
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                "the state belongs to another user: check the owner and mode of its directory"
            }
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::ReadOnlyFilesystem => {
                "its file system is read-only: name another place with `--state`, or in the file `freehold.state`"
            }
            Self::Io { .. } | Self::NotLocked | Self::Seal { .. } | Self::NixOps4 { .. } | Self::NoSuchEvent { .. } => {
                return None;
            }
        };
        Some(text.to_owned())
    }

    pub(crate) fn io(step: &'static str, path: impl Into<String>, source: std::io::Error) -> Self {
        let (path, source) = (path.into(), Arc::new(source));
        if source.kind() == std::io::ErrorKind::StorageFull || source.kind() == std::io::ErrorKind::QuotaExceeded {
            return Self::DiskFull { path, source };
        }
        Self::Io { step, path, source }
    }
}
