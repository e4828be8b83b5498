//! `Range`, and `Content-Range` of a slice.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    weir_http::fuzz::ranges(data);
    weir_http::fuzz::content_range(data);
});
