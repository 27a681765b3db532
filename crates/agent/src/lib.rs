//! The agent of a host: follows the manifest of a bucket, and keeps what it says running.
//!
//! One round: read the manifest, take what names this host, roll out what differs, stop what left, set routes, remember. What runs
//! is read back from the runtimes, never remembered; a crash at any point is gone on with by the next round. Deliberately without
//! a terminal, and without knowledge of deployments and their engine.
//!
//! Read on in `round.rs` (one round), `workload.rs` (one service of it), `standing.rs` (one that is as it was), `closures.rs` (its store paths), `routes.rs`, `alerts.rs`, `memory.rs` (what is remembered), `agent.rs` (rounds without
//! end), `router.rs` (how routes are set). How it is watched: `status.rs`, `serve.rs` and `metrics.rs` (by whoever asks), `report.rs`,
//! `reporter.rs` and `verdict.rs` (by publishers), `notify.rs` (by systemd). `install.rs` makes it a service of a host.

mod agent;
mod alerts;
mod caddy;
mod closures;
mod error;
mod install;
mod leaving;
mod memory;
mod metrics;
mod notify;
mod options;
mod report;
mod reporter;
mod round;
mod router;
mod routes;
mod serve;
mod standing;
mod status;
mod turnstile;
mod verdict;
mod workload;

pub use agent::{Agent, Voice, wake};
pub use caddy::CaddyRouter;
pub use error::AgentError;
pub use install::{Installation, Schedule, UNIT, is_ours};
pub use memory::{Memory, read_memory};
pub use metrics::metrics;
pub use notify::Notify;
pub use options::{AgentOptions, Runtimes, Trust};
pub use report::{HostReport, ReportError, ReportPlace};
pub use round::{Round, ServiceState};
pub use router::{Route, Router};
pub use serve::{SOCKET, Server};
pub use status::{Status, read_status};
pub use verdict::{Awaited, HostState, Verdict, together};
