//! Docker Swarm: what runs of a stack, how it is deployed and taken away, its secrets, its volumes.
//!
//! Stacks are composed and deployed by the docker CLI itself, so that they mean what they mean to everybody else; all the rest goes
//! over Docker's API. Deliberately without knowledge of recipes and rollouts' decisions: a stack is a name and a document here.
//!
//! Read on in `docker.rs` (the connection), `endpoint.rs` (where it leads), `ssh.rs` (to another machine), `cli.rs` (composing, deploying; with `child.rs`, and `printed.rs` for what the CLI prints wrongly), `stack.rs` (what runs),
//! `settle.rs` (whether it has settled), `undeploy.rs`, `secrets.rs`, `volumes.rs` (lists, copies), `cluster.rs`, `logs.rs`.

mod child;
mod cli;
mod cluster;
mod digest;
mod docker;
mod endpoint;
mod error;
mod images;
mod logs;
mod printed;
mod secrets;
mod settle;
mod ssh;
mod stack;
mod undeploy;
mod volumes;

pub use child::{Ended, run_within};
pub use cli::{CLI_ENVIRONMENT, Compose, Deploy};
pub use cluster::{Cluster, Init};
pub use digest::{Listing, listing_of};
pub use docker::Docker;
pub use endpoint::Endpoint;
pub use error::SwarmError;
pub use images::ImageRemoval;
pub use logs::LogWish;
pub use secrets::SwarmSecret;
pub use settle::{Seen, patience, settle};
pub use stack::{RunningService, STACK_LABEL, Task, UpdateState};
pub use volumes::{Copy, Volume};
