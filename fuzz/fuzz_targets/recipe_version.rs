//! Gives made-up bytes to `freehold_fuzz::recipe_version`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freehold_fuzz::recipe_version(data));
