//! The provider as a program of its own, for tests and for use without the `freehold` binary.

fn main() {
    std::process::exit(freehold_provider::sdk::serve(freehold_provider_local::provider()));
}
