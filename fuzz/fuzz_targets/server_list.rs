//! A list of servers, as lines and as JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_upstream::fuzz::list(data));
