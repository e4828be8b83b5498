//! What decides about keeping a response: its fields, `Vary`, and the names of files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_http::fuzz::cache_fields(data));
