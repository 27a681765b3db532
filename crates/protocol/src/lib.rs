//! What travels: the provider protocol in its versions 1 (ours) and 0 (NixOps4's), and the event stream of `apply --json`.
//!
//! Types, their JSON Schemas and parsers that never panic; deliberately no behaviour: who is started, asked and waited
//! for is in `freehold-provider`. An example of every message is in `examples/`, the schemas are in `schemas/`.

pub mod events;
pub mod v0;
pub mod v1;

mod schema;
mod schemas;
mod wire;

pub use schema::{Example, OperationSchema, ProviderSchema, TypeSchema, mark_sensitive};
pub use schemas::schemas;
pub use wire::{WireAttrs, WireError, WireValue};
