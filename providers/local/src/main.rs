//! The provider as a program of its own, for tests and for use without the `freehold` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    match freehold_provider::sdk::serve(freehold_provider_local::provider()) {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
