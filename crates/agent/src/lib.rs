//! The agent of a host: follows the manifest of a bucket, and keeps what it says running.
//!
//! One round: read the manifest, take what names this host, roll out what differs, stop what left, set routes, remember. What runs
//! is read back from the runtimes, never remembered; a crash at any point is gone on with by the next round. Deliberately without
//! a terminal, and without knowledge of deployments and their engine.
//!
//! Read on in `round.rs` (one round), `workload.rs` (one service of it), `memory.rs` (what is remembered), `agent.rs` (rounds without
//! end), `router.rs` (how routes are set).

mod agent;
mod caddy;
mod error;
mod memory;
mod options;
mod round;
mod router;
mod workload;

pub use agent::{Agent, Voice, wake};
pub use caddy::CaddyRouter;
pub use error::AgentError;
pub use memory::{Memory, read_memory};
pub use options::{AgentOptions, Runtimes, Trust};
pub use round::{Round, ServiceState};
pub use router::{Route, Router};
