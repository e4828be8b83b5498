//! Messages between nodes with counters.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_ha::mirror::fuzz::counters(data));
