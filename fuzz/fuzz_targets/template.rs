//! A text with variables, and a log format.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_script::fuzz::template(data));
