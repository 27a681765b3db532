//! The house's own tools: `cargo run -p xtask -- tidy | generate [--check] | release | bench [peers]`.
//!
//! `tidy` checks the rules that a reader relies on (it also runs as a test), `generate` writes what is made from code,
//! `release` makes the static binary, `bench` prints figures. Running the tests is `./x test`'s work.
//!
//! Where to go next: `tidy/mod.rs` lists the rules.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command line tool")]

mod bench;
mod cargo;
mod generate;
mod release;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What can go wrong: a text for people, with the fix.
type Outcome<T> = Result<T, String>;

const USAGE: &str = "usage: xtask tidy [--update-ratchet] | generate [--check] | release | bench [peers]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = repository_root();
    let outcome = match words.as_slice() {
        ["tidy"] => tidy::run(&root),
        ["tidy", "--update-ratchet"] => tidy::update_ratchet(&root),
        ["generate"] => generate::write(&root),
        ["generate", "--check"] => generate::check(&root),
        ["bench", rest @ ..] => bench::run(&root, rest),
        ["release"] => release::run(&root),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(64);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn repository_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Runs a command in `directory` and returns its stdout; its stderr goes to ours.
fn stdout_of(directory: &Path, program: &str, arguments: &[&str]) -> Outcome<String> {
    let output = std::process::Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run `{program}`: {error}"))?;
    if !output.status.success() {
        return Err(format!("`{program} {}` failed: {}", arguments.join(" "), output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("`{program}` printed something that is not UTF-8"))
}
