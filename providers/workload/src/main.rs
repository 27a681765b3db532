//! The provider as a program of its own; in the `freehold` binary it is a subcommand.

fn main() -> std::process::ExitCode {
    let code = freehold_provider::sdk::serve(freehold_provider_workload::provider());
    std::process::ExitCode::from(u8::try_from(code).unwrap_or(1))
}
