//! The body of every call of the API.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_http::fuzz::api_body(data));
