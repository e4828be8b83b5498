//! The state that a node makes durable.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_ha::mirror::fuzz::durable(data));
