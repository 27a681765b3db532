//! Gives made-up bytes to `freehold_fuzz::manifest`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freehold_fuzz::manifest(data));
