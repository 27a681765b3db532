//! Gives made-up bytes to `freehold_fuzz::provider_v0`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freehold_fuzz::provider_v0(data));
