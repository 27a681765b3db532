//! Gives made-up bytes to `freehold_fuzz::rollout_gate`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freehold_fuzz::rollout_gate(data));
