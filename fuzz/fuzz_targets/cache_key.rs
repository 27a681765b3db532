//! Gives made-up bytes to `freehold_fuzz::cache_key`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freehold_fuzz::cache_key(data));
