//! Certificate verification: the peer's chain, trust anchors and revocation lists.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_engine::tls::fuzz::certificates(data));
