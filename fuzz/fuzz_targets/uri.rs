//! A target of a request, the URI of a redirect, a host.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_wire::uri::fuzz::fuzz_uri(data));
