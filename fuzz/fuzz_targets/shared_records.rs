//! What other nodes tell about servers and sessions.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_upstream::fuzz::shared(data));
