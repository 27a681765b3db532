//! The bridge as a program of its own, for this crate's tests: what `freehold internal eval-bridge` is in the shipped binary.

fn main() -> std::process::ExitCode {
    freehold_eval::bridge_main(std::env::args_os().skip(1))
}
