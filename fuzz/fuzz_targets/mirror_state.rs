//! Messages between nodes with records, and with their digests.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_ha::mirror::fuzz::state(data));
