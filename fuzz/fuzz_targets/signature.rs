//! Gives made-up bytes to `freehold_fuzz::signature`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freehold_fuzz::signature(data));
