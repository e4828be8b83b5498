//! A request head given as fields.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_wire::h1::fuzz::fuzz_request_fields(data));
