//! Gives made-up bytes to `freehold_fuzz::nixops4_state`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freehold_fuzz::nixops4_state(data));
