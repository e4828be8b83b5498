//! An upstream address, as in directives and variables.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_upstream::fuzz::url(data));
