//! A session ticket sent by a client.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_engine::tls::fuzz::session_ticket(data));
