//! The conformance suite: good providers pass, and each defect is found by the check that is meant for it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

use std::path::Path;

use freehold_provider::conformance::{Outcome, Report, run};
use freehold_provider::{Call, Launch, Pool, PoolOptions, Reply};

fn test(launch: &Launch) -> Report {
    let scratch = tempfile::tempdir().unwrap();
    run(launch, scratch.path())
}

#[track_caller]
fn passes(launch: &Launch) -> Report {
    let report = test(launch);
    let failed: Vec<_> = report.checks.iter().filter(|c| matches!(c.outcome, Outcome::Failed(_))).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    report
}

fn python(changed: &[(&str, &str)]) -> Option<(tempfile::TempDir, Launch)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/providers/python/note.py");
    let mut text = fs_err::read_to_string(source).unwrap();
    for (good, bad) in changed {
        assert!(text.contains(good), "the example has no `{good}`");
        text = text.replace(good, bad);
    }
    let dir = tempfile::tempdir().unwrap();
    fs_err::write(dir.path().join("note.py"), text).unwrap();
    let mut launch = Launch::new("notes", "python3");
    launch.args = vec![dir.path().join("note.py").into()];
    match std::process::Command::new("python3").arg("--version").output() {
        Ok(_) => Some((dir, launch)),
        Err(error) => {
            // Said aloud: the summary of the test run shows it.
            eprintln!("NOT RUN: the Python provider, because python3 cannot be started: {error}");
            None
        }
    }
}

#[test]
fn the_sdk_passes() {
    let report = passes(&Launch::new("fixture", env!("CARGO_BIN_EXE_provider-fixture")));
    assert!(report.checks.len() > 8);
}

#[test]
fn the_python_example_passes_with_its_whole_life() {
    let Some((_dir, launch)) = python(&[]) else { return };
    let report = passes(&launch);
    assert!(!report.checks.iter().any(|check| matches!(check.outcome, Outcome::NotRun(_))), "{report:#?}");
    assert!(report.passed());
}

/// So do all numbers in JavaScript, Lua and jq.
#[test]
fn a_provider_whose_numbers_are_doubles_passes_and_works() {
    let doubles = [("request = json.loads(line)", "request = json.loads(line, parse_int=float)")];
    let Some((dir, mut launch)) = python(&doubles) else { return };
    passes(&launch);
    launch.cwd = Some(dir.path().to_owned());
    let schema = Pool::new(PoolOptions::default()).call(&launch, Call::Schema);
    assert!(matches!(schema, Ok(Reply::Schema(_))), "{schema:?}");
}

#[test]
fn a_provider_that_changes_large_ids_is_found() {
    let changed =
        [("send({\"id\": request[\"id\"], \"result\"", "send({\"id\": request[\"id\"] & 0xFFFFFFFF, \"result\"")];
    let Some((_dir, launch)) = python(&changed) else { return };
    assert!(!test(&launch).passed());
}

#[test]
fn each_defect_is_found_by_its_check() {
    for (good, bad, check, why) in [
        ("if name not in known:", "if False:", "`note` refuses an unrecognised input", "gives no diagnostic"),
        (
            "METHOD_NOT_FOUND, INVALID_PARAMS, FAILED = -32601",
            "METHOD_NOT_FOUND, INVALID_PARAMS, FAILED = 1",
            "it refuses an unknown method",
            "must be -32601",
        ),
        ("\"protocolVersion\": 1,", "\"protocolVersion\": 2,", "it answers `initialize`", "it answered version 2"),
        ("\"stableOutputs\": [\"id\"]", "\"stableOutputs\": [\"ident\"]", "the schemas are sound", "`ident`"),
        ("if before == inputs:", "if False:", "`note` lives through its example", "says Update instead of none"),
        ("ledger[\"notes\"].pop(", "ledger[\"notes\"].get(", "`note` lives through its example", "still finds what"),
        (
            "send({\"id\": None, \"error\": {\"code\": -32700, \"message\": \"not JSON\"}})",
            "raise",
            "it survives lines",
            "ended instead",
        ),
        (
            "UNKNOWN if text == UNKNOWN else",
            "7777 if text == UNKNOWN else",
            "`note` lives through its example",
            "`plan` promised another value of output `length`",
        ),
        ("os.dup2(2, 1)", "os.write(1, b'Loading...\\n')", "it answers `initialize`", "it wrote `Loading...`"),
    ] {
        let Some((_dir, launch)) = python(&[(good, bad)]) else { return };
        let report = test(&launch);
        assert!(!report.passed(), "nothing was found of {bad}");
        let found = report
            .checks
            .iter()
            .any(|c| c.name.starts_with(check) && matches!(&c.outcome, Outcome::Failed(text) if text.contains(why)));
        assert!(found, "{bad}: {report:#?}");
    }
}

#[test]
fn a_program_that_is_no_provider_fails_at_once() {
    let report = test(&Launch::new("true", "/bin/true"));
    assert_eq!(report.checks.len(), 1);
    assert!(!report.passed());
}
