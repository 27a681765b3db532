//! The built-in provider keeps the contract that it demands of others.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

use freehold_provider::Launch;
use freehold_provider::conformance::{Outcome, run};

#[test]
fn the_local_provider_passes_the_conformance_suite() {
    let scratch = tempfile::tempdir().unwrap();
    let report = run(&Launch::new("local", env!("CARGO_BIN_EXE_freehold-provider-local")), scratch.path());
    let others: Vec<_> = report.checks.iter().filter(|check| check.outcome != Outcome::Passed).collect();
    // `http` has no examples, because a gate needs something to knock at.
    assert!(others.len() == 1 && others[0].name == "`http` lives through its examples", "{others:#?}");
}
