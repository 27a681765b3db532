//! One way to change what runs: a workload is moved to a release, and stays there only if it is healthy.
//!
//! Deliberately without IO, clock, threads or knowledge of any runtime: systemd, Swarm or NixOS are drivers that carry out the
//! effects of the machine here and report back. Read on in `gate.rs` and `record.rs` for the nouns, `decide.rs` for *whether* to
//! roll out, `machine/mod.rs` for *how*, and `tests/scenarios/` for stories of it.

mod alert;
mod gate;
mod outcome;
mod policy;
mod release;
mod settings;

pub use alert::Alert;
pub use gate::{Exec, Gate, GateError, Http, Tcp};
pub use outcome::{Exit, Outcome, Report};
pub use policy::{Change, Choice, Mode, Policy, UpTo, Version};
pub use release::{Release, ReleaseError};
pub use settings::{Settings, SettingsError, Strategy};

/// A moment: milliseconds since 1970, UTC. The caller reads the clock; nothing here does.
pub type Millis = u64;
