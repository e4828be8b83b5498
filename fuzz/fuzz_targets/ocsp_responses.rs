//! Responses of OCSP responders, with the certificates that they are judged by.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_engine::tls::fuzz::ocsp_responses(data));
