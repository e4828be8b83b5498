//! An address as directives and variables write it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_upstream::fuzz::url(data));
