//! Carries out what `freehold-rollout` decides: record files, looks at what runs, and one driver per runtime.
//!
//! Deliberately without an opinion on *whether* to roll out, and without knowledge of manifests as a whole: an agent, a command or a
//! timer brings a declared release and gets a report.
//!
//! Read on in `service.rs` (what the release of a service is), `runtime.rs` (what every runtime can do), `carry.rs` (the loop that
//! turns effects into deeds), `records.rs` (what is remembered, crash-safe), `probe/` (looks), then one folder per runtime.
//! To add a runtime: a folder that implements [`Runtime`], a test of the same stories, a line in the agent's choice.

pub mod process;
pub mod systemd;

mod carry;
mod environment;
mod error;
mod fingerprint;
mod host;
mod probe;
mod records;
mod runtime;
mod service;

pub use carry::{Hands, Told, carry, carry_from};
pub use error::RuntimeError;
pub use fingerprint::Fingerprint;
pub use probe::{ProbeTarget, look};
pub use records::{Alerts, RecordFile, Records, lock_soon, remove_durably, write_durably};
pub use runtime::{Instance, Runtime};
pub use service::ServiceRelease;
