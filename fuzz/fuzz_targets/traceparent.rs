//! `traceparent`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_wire::trace_context::fuzz(data));
