//! Who is told what goes on.

use freehold_protocol::events::Event;

/// What is being done while nothing is applied yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The deployment is evaluated; so many members are known.
    Evaluating {
        /// How many so far.
        members: usize,
    },
    /// Objects are looked at.
    Reading {
        /// How many have been.
        done: usize,
        /// How many are to be.
        total: usize,
    },
    /// Store paths are built or fetched.
    Realising {
        /// What Nix says.
        message: String,
    },
    /// A line of the deployment's own traces, or a warning of Nix.
    UserLog {
        /// The line.
        text: String,
    },
    /// Something that did no harm and should be known.
    Warning {
        /// What.
        text: String,
    },
}

/// Is told what goes on. Called from one thread at a time, but not always the same: it must be quick.
pub trait Observer: Send + Sync {
    /// One event of the stream that `apply --json` prints.
    fn event(&self, event: &Event);
    /// What is being done meanwhile.
    fn note(&self, note: Note);
}

/// An observer that listens to nothing.
impl Observer for () {
    fn event(&self, _: &Event) {}
    fn note(&self, _: Note) {}
}
