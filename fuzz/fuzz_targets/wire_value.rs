//! Gives made-up bytes to `freehold_fuzz::wire_value`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freehold_fuzz::wire_value(data));
