//! What is true of every Nix binary cache: how a narinfo is read and written, what is signed and how, what a store path is.
//!
//! It works on bytes and does no IO: fetching, storing and compressing are `freehold-cache`'s work, and NARs themselves are left
//! to the crate `nix-archive`. All that comes from outside is parsed strictly and within limits. The formats are Nix's own, so
//! that whatever is written here can be read by any Nix and the other way round.
//!
//! Read on in `narinfo.rs`, then `keys.rs` (signing), `path.rs`, `hash.rs`, `cache_info.rs`.

mod base32;
mod ca;
mod cache_info;
mod error;
mod hash;
mod keys;
mod narinfo;
mod path;

pub use cache_info::CacheInfo;
pub use error::NarError;
pub use hash::Sha256;
pub use keys::{PublicKey, SecretKey, TrustedKeys};
pub use narinfo::{Compression, NarInfo};
pub use path::StorePath;
