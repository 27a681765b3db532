//! A small world for the planner and the executor: deployments as text, an evaluator, providers, a log, a clock of one's own.
//!
//! Nothing here does IO. One seed owns the order in which things complete, what providers do and when the program crashes.
//! Reading order: [`deployment`] (the language), [`evaluator`], [`world`] (objects and their providers), [`journal`] (the log, on the
//! real state replay), [`driver`] (plan, apply, crash), [`check`] (what must hold), [`fuzz`] (random deployments and operations).

#![allow(dead_code, reason = "each test and the example use a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    missing_docs,
    reason = "a panic is the report of a test"
)]

pub mod check;
pub mod deployment;
pub mod driver;
pub mod evaluator;
pub mod fuzz;
pub mod journal;
pub mod show;
pub mod world;
