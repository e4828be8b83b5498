//! The records of a FastCGI response.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_wire::fastcgi::fuzz::fuzz_records(data));
