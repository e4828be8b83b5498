//! An MP4 file that is cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_wire::mp4::fuzz::fuzz_cut(data));
