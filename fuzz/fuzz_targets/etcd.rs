//! Answers of the JSON gateway of etcd.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_upstream::fuzz::etcd(data));
