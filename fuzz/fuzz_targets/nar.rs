//! Gives made-up bytes to `freehold_fuzz::nar`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freehold_fuzz::nar(data));
