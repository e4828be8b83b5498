//! A configuration file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_conf::fuzz(data));
