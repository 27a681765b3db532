//! The Nix store through Nix's own programs: realising paths with progress, GC roots, facts about paths.
//!
//! It runs any stock Nix (2.8 and later) as a child process and never links to it. Deliberately without knowledge of deployments
//! and records: who keeps which root is decided by the caller. Read on in `nix.rs` (which Nix, and running it), `realise.rs`,
//! `messages.rs` (what Nix says while it builds), `roots.rs`, `profiles.rs`, `info.rs`, `build.rs`, `copy.rs`.

mod build;
mod copy;
mod error;
mod info;
mod messages;
mod nix;
mod profiles;
mod realise;
mod roots;
mod run;

pub use build::Built;
pub use error::StoreError;
pub use info::PathInfo;
pub use messages::Progress;
pub use nix::Nix;
pub use realise::{RealiseOptions, Target};
