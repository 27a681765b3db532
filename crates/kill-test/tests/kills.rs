//! A handful of kills, as part of every test run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

use freehold_kill_test::Campaign;

#[test]
fn nothing_is_forgotten_when_apply_is_killed() {
    let Some(report) = (Campaign { kills: 4, members: 1000 }).run(|_, _| ()) else {
        return;
    };
    assert!(report.is_good(), "{report:?}");
    assert!(report.midway >= 3, "the kills came too late: {report:?}");
}
