//! Gives made-up bytes to `freehold_fuzz::member_path`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freehold_fuzz::member_path(data));
