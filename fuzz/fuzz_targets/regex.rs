//! A regular expression and a subject.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_script::fuzz::regex(data));
