//! A rewrite rule and a condition.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_script::fuzz::rewrite(data));
