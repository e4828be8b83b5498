//! The value of a field: dates, lists, lengths.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_wire::header::fuzz::fuzz_value(data));
