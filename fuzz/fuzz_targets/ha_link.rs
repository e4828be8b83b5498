//! Frames and messages between the nodes of a pair.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_ha::fuzz::link(data));
