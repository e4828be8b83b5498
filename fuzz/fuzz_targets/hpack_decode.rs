//! Arbitrary header blocks of HTTP/2.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_wire::h2::hpack::fuzz::fuzz_decode(data));
