//! Certificates of a peer, of authorities and revocation lists: the whole check.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_engine::tls::fuzz::certificates(data));
