//! A response of memcached, for the requested key.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_wire::memcached::fuzz::fuzz_answer(data));
