//! A node and what two others tell it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_ha::mirror::fuzz::conversation(data));
