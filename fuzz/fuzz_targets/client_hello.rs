//! A client hello, parsed before rustls gets it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_engine::tls::fuzz::client_hello(data));
