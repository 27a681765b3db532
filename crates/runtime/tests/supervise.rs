//! The supervisor as a program of its own, for the tests: `freehold-runtime-supervise DIRECTORY`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1) else { return ExitCode::from(64) };
    match freehold_runtime::process::supervise(std::path::Path::new(&dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
