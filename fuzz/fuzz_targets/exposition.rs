//! Metrics with any labels.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_wire::exposition::fuzz::fuzz(data));
