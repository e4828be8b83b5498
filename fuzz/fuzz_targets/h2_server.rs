//! A connection of HTTP/2 as server, whose peer sends anything.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_wire::h2::fuzz::fuzz_server(data));
