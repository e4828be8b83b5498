//! Messages between nodes about the configuration.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_ha::mirror::fuzz::config(data));
