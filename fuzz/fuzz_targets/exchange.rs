//! A whole request, with what an upstream answers: every module that reads fields or bodies.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_http::fuzz::exchange(data));
