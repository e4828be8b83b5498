//! A load report in a response.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_wire::load_report::fuzz(data));
