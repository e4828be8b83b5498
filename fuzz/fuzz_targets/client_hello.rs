//! A client hello, which is read before rustls gets it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_engine::tls::fuzz::client_hello(data));
