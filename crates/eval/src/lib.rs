//! Stock Nix as one persistent, lazy evaluator: members of a deployment are evaluated as outputs become known.
//!
//! Nix runs as a child process that evaluates `nix/driver.nix` and holds a conversation with the engine (`wire.rs`). What can be
//! trusted of what it says, and what has to be asked again, is decided in `core.rs`. This crate plans nothing, applies nothing
//! and builds nothing: values that carry store paths name them, and somebody else realises them.
//!
//! Reading order: `options.rs`, `evaluator.rs`, `nix/driver.nix`, `wire.rs`, `query.rs`, `core.rs`.

mod bridge;
mod confine;
mod core;
mod decode;
mod error;
mod evaluator;
mod flake;
mod known;
mod options;
mod process;
mod query;
mod scan;
mod secrets;
mod wire;

pub use bridge::bridge_main;
pub use confine::{Confinement, confinement};
pub use error::EvalError;
pub use evaluator::{Evaluator, Event, Ticket};
pub use options::{NixPrograms, Options, Source};
