//! Configuration sets, which come from other nodes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weir_ha::set::fuzz(bytes));
