//! A session ticket that a client brings back.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_engine::tls::fuzz::session_ticket(data));
