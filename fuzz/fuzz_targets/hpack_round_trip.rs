//! Header blocks that are written and read again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_wire::h2::hpack::fuzz::fuzz_round_trip(data));
