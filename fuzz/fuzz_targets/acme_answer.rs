//! Answers of authorities of ACME: problems, resources, URLs and waits.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_acme::fuzz::answer(data));
