//! A file of certificates, a private key, revocation lists.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_engine::tls::fuzz::key_file(data));
