//! Spans of any texts, and the answers of collectors.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_wire::otlp::fuzz::fuzz(data));
