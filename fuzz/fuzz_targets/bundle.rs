//! What the master hands to the worker.
#![no_main]

// The server is a program, not a library.
#[allow(dead_code)]
#[path = "../../crates/server/src/bundle.rs"]
mod bundle;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let file = weir_sys::memory_file::sealed(data).expect("a memory file");
    if let Ok(bundle) = bundle::Bundle::unseal(file) {
        let again = bundle::Bundle::unseal(bundle.seal().expect("a memory file"));
        assert_eq!(again.expect("it was one"), bundle);
    }
});
