//! One way to change what runs: a workload is moved to a release, and stays there only if it is healthy.
//!
//! Deliberately without IO, clock, threads or knowledge of any runtime: systemd, Swarm or NixOS are drivers that carry out the
//! effects of the machine here and report back. Read on in `gate.rs` and `record.rs` for the nouns, `decide.rs` for *whether* to
//! roll out, `machine/mod.rs` for *how*, and `tests/scenarios/` for stories of it.

mod alert;
mod decide;
mod effect;
mod gate;
mod machine;
mod outcome;
mod policy;
mod record;
mod release;
mod schemas;
mod settings;
mod stage;

pub use alert::Alert;
pub use decide::{Decision, Declared, Running, Wish, decide};
pub use effect::{Effect, Event, Look, Settling, StopWhat};
pub use gate::{Exec, Gate, GateError, Http, Tcp};
pub use machine::Machine;
pub use outcome::{Exit, Outcome, Report};
pub use policy::{Change, Choice, Mode, Policy, UpTo, Version};
pub use record::{Back, BrokenOff, Entry, Progress, Record, RecordError, Snapshot, TakenBack};
pub use release::{Release, ReleaseError};
pub use schemas::schemas;
pub use settings::{Settings, SettingsError, Strategy};
pub use stage::{Phase, Stage};

/// A moment: milliseconds since 1970, UTC. The caller reads the clock; nothing here does.
pub type Millis = u64;
