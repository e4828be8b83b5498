//! Files of cached responses that are damaged: each is refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_http::fuzz::cache_damage(data));
