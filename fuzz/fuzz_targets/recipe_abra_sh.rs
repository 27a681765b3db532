//! Gives made-up bytes to `freehold_fuzz::recipe_abra_sh`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freehold_fuzz::recipe_abra_sh(data));
