//! What tests share: scratch directories, the Nix versions, the `freehold` binary, small disks, S3 servers, Caddy, hosts
//! with systemd.
//!
//! Used in `dev-dependencies` only. It panics where a test cannot go on, with a text that says why.
//! It never skips in silence: a part that cannot run here is reported through [`not_run()`], and `./x test` lists
//! those reports in its summary.
//!
//! Where to go next: [`Scratch`] (every test starts there), [`nixes()`], [`Freehold`], [`SmallDisk`], [`Minio`],
//! [`CaddyServer`], [`Host`],
//! and, behind the feature `s3`, `s3::S3Server`.
#![allow(clippy::panic, clippy::print_stderr, reason = "a test helper's way to fail and to talk")]

mod caddy;
mod freehold;
mod hosts;
mod minio;
mod nixes;
mod not_run;
mod process;
mod rng;
#[cfg(feature = "s3")]
pub mod s3;
mod scenarios;
mod scratch;
mod small_disk;

pub use caddy::{CaddyProgram, CaddyServer};
pub use freehold::{Finished, Freehold, freehold_binary};
pub use hosts::{Host, Network};
pub use minio::Minio;
pub use nixes::{Nix, each_nix, nixes};
pub use not_run::not_run;
pub use process::{Guarded, free_port, repository_root, run_limited};
pub use rng::Rng;
pub use scenarios::play_scenarios;
pub use scratch::Scratch;
pub use small_disk::SmallDisk;
