//! The file of a key-value zone.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_http::fuzz::keyval_state(data));
