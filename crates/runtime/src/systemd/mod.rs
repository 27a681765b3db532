//! The runtime `systemd`: a service is a unit of its host.
//!
//! Read on in `unit.rs` (a release as a unit file), `marker.rs` (how it is known to be ours), `hardening.rs`, `escape.rs`.

mod escape;
mod hardening;
mod marker;
mod unit;

pub use unit::render;
