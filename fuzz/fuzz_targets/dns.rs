//! A DNS response, over UDP and over TCP.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_upstream::fuzz::dns_response(data));
