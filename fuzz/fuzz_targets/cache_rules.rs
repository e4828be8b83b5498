//! Fields of requests and responses, judged as RFC 9111 asks.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_http::fuzz::cache_rules(data));
