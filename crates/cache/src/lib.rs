//! Nix binary caches in buckets and directories.
//!
//! [`Depot`] is the place itself: objects under keys, in an S3 bucket or a directory, with conditional writes. What a binary cache is
//! stands in `freehold-nar`; the store is reached through `freehold-store`. Deliberately without a terminal and without knowledge
//! of what a published path is for.
//!
//! Read on in `depot/mod.rs`.

mod depot;
mod error;

pub use depot::{Depot, DepotUrl, Draft, Fetched, Kind, Listed, Object};
pub use error::CacheError;
pub use freehold_s3::Condition;
