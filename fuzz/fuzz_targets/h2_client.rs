//! A connection of HTTP/2 as client, whose peer sends anything.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_wire::h2::fuzz::fuzz_client(data));
