//! A small world for the rollout machine: a runtime that a seed owns, and a driver that can crash at every effect.
//!
//! `world.rs` is the runtime, `driver.rs` carries effects out and checks what must always hold, `fuzz.rs` makes up stories.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test; not every user needs all of it"
)]

pub mod driver;
pub mod fuzz;
pub mod world;
