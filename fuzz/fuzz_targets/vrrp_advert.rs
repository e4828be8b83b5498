//! A packet of another node, or of a stranger.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_ha::guard::adverts::fuzz(data));
