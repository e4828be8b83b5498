//! A template of a configuration, filled with the environment.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_script::fuzz::envsubst(data));
