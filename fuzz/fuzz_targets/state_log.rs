//! Gives made-up bytes to `freehold_fuzz::state_log`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freehold_fuzz::state_log(data));
