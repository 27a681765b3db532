//! What the machine asks of its driver, and what it is told.
//!
//! One effect is out at a time; `Journal`, `Alert`, `ClearAlert` and `Finished` want no answer. A driver makes every effect
//! idempotent (after a crash it may be asked for again), puts a limit on each, and reports what it reads back, not an exit code.

use crate::{Alert, Entry, Gate, Record, Release, Report};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Make this record durable, in the place of the one with the revision before. Answer: `Persisted`, `PersistFailed`, or
    /// `LockRefused` when another revision stands there.
    Persist(Box<Record>),
    /// Write this line to the log. No answer.
    Journal(Entry),
    /// Fetch and check all that is needed, disk space for a snapshot included, without touching what runs. Answer: `Done`, `Failed`.
    Prepare {
        /// What is to be rolled out.
        release: Release,
    },
    /// Stop, and wait until it is gone. Answer: `Done`, `Failed`.
    Stop {
        /// What.
        what: StopWhat,
    },
    /// Copy the data of the stopped workload and compare the copy with them. Answer: `Done` when it is complete, `Failed`.
    Snapshot {
        /// The name of the copy.
        name: String,
    },
    /// Start this release, without making it the one that starts at boot. One that runs already stays untouched.
    /// With blue-green, beside what runs. Answer: `Done`, `Failed`.
    Activate {
        /// Which.
        release: Release,
    },
    /// Ask the runtime whether exactly this release runs and has settled; within `limits::ROLLOUT_LOOK`. Answer: `Settled`.
    Settle {
        /// Which.
        release: Release,
    },
    /// Look at this release once, as the gate says; within `limits::ROLLOUT_LOOK`. Answer: `Probed`.
    Probe {
        /// Which.
        release: Release,
        /// What to look at.
        gate: Box<Gate>,
    },
    /// Wait, by a clock that does not jump. Answer: `Tick`.
    Wait {
        /// For so many milliseconds.
        millis: u64,
    },
    /// Let new requests go to this release. Answer: `Done`, `Failed`.
    SwitchRoutes {
        /// Which.
        to: Release,
    },
    /// Let this release finish the requests it has. Answer: `Done`, `Failed`.
    Drain {
        /// Which.
        release: Release,
    },
    /// Make this release the one that starts at boot, then remove what is no longer kept. Answer: `Done`, `Failed`.
    Commit {
        /// Which.
        release: Release,
        /// Committed releases that are no longer kept.
        prune: Vec<Release>,
        /// Snapshots that are no longer kept.
        prune_snapshots: Vec<String>,
    },
    /// Put the data back as they were, and compare them with the copy. Answer: `Done`, `Failed`.
    Restore {
        /// The name of the copy.
        snapshot: String,
    },
    /// Let this alert stand. No answer.
    Alert(Box<Alert>),
    /// Let no alert stand. No answer.
    ClearAlert,
    /// The machine has ended.
    Finished(Box<Report>),
}

/// What is to be stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopWhat {
    /// Whatever runs of the workload, for now: what starts at boot stays as it is.
    Running,
    /// Every instance but the one of this release.
    AllBut(Release),
    /// The workload for good: its instances, its routes and its start at boot. Data stay.
    Workload,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The record is durable.
    Persisted,
    /// The record could not be made durable.
    PersistFailed {
        /// Why.
        reason: String,
    },
    /// The effect is done, as read back.
    Done,
    /// The effect is not done, or only in part.
    Failed {
        /// Why.
        reason: String,
    },
    /// What the runtime says.
    Settled(Settling),
    /// What was seen.
    Probed(Look),
    /// The wait is over.
    Tick,
    /// Somebody else works on this workload, or has taken it over.
    LockRefused {
        /// Who.
        holder: String,
    },
}

/// What the runtime says of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settling {
    /// Exactly this release runs, and nothing is under way.
    Settled,
    /// Not yet.
    Busy {
        /// What is missing.
        reason: String,
    },
    /// It does not run, and will not by waiting.
    Broken {
        /// Why.
        reason: String,
    },
}

/// What one look at a release has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// As expected.
    Green,
    /// Not as expected.
    Red {
        /// What was seen.
        reason: String,
    },
}
