//! The line of an agent.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_wire::agent::fuzz(data));
