//! What a worker leaves: the journal, a group in it, and a state file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_upstream::fuzz::left(data));
