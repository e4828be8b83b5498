//! Rows of map, geo and split_clients.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_script::fuzz::tables(data));
