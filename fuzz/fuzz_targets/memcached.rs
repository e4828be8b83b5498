//! An answer of memcached, behind the key that was asked for.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_wire::memcached::fuzz::fuzz_answer(data));
