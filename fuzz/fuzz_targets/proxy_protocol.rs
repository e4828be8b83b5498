//! A PROXY protocol header.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_wire::proxy_protocol::fuzz(data));
