//! The index file of a cache, with right and wrong checksums.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_http::fuzz::cache_index(data));
