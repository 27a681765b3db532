//! The manifest in its bucket: `manifest.json` is what is current, `manifests/` what was.
//!
//! Whoever publishes changes what is current *now*: a rival's change in between is seen and the edit is made again on top of it, so
//! that none is lost. Agents read, and ask for what is new only. Deliberately without an opinion on what a service is
//! (`freehold-manifest`) and how closures travel (`freehold-cache`).
//!
//! Read on in `board.rs`, then `publisher.rs` (who publishes, and on top of what), `claim.rs` (stores without conditional writes).

mod board;
mod claim;
mod error;
mod publisher;

pub use board::{Board, Current, Look, Published};
pub use error::PublishError;
pub use publisher::Publisher;
