//! Messages between the mirror and the master.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weir_ha::carrier::host::fuzz(bytes));
