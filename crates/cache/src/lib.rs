//! Nix binary caches in buckets and directories.
//!
//! [`Depot`] is the place itself: objects under keys, in an S3 bucket or a directory, with conditional writes. What a binary cache is
//! stands in `freehold-nar`; the store is reached through `freehold-store`. Deliberately without a terminal and without knowledge
//! of what a published path is for.
//!
//! Read on in `depot/mod.rs`, then `push.rs`, `pull.rs`, `verify.rs`, `gaps.rs`, `gc.rs`, `serve.rs`; `cache.rs` and `epoch.rs` are what these share,
//! `index.rs` what is remembered between them.

mod cache;
mod closure;
mod depot;
mod epoch;
mod error;
mod gaps;
mod gc;
mod index;
mod list;
mod look;
mod pack;
mod pool;
mod progress;
mod pull;
mod push;
mod serve;
mod staging;
mod verify;

pub use depot::{Depot, DepotUrl, Draft, Fetched, Kind, Listed, Object};
pub use error::CacheError;
pub use freehold_s3::Condition;
pub use gaps::{Gap, gaps};
pub use gc::{Collected, GcOptions, gc};
pub use list::list;
pub use pack::digest;
pub use progress::{Listener, Progress};
pub use pull::{Pulled, pull};
pub use push::{PushOptions, Pushed, push};
pub use serve::{Served, serve};
pub use staging::sweep_staging;
pub use verify::{Problem, Verified, VerifyOptions, verify};
