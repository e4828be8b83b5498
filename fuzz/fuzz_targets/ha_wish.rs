//! The wish of a node that joins, its answer, tokens and identities.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_ha::fuzz::wish(data));
