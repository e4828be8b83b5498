//! The answers of the outside world, which make up most of a bundle from the master.
#![no_main]

// The server is a program, not a library.
#[allow(dead_code)]
#[path = "../../crates/server/src/bundle/answers.rs"]
mod answers;
#[path = "../../crates/server/src/bundle/codec.rs"]
mod codec;

use answers::Answers;
use codec::Codec;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some(answers) = Answers::take(&mut &data[..]) else { return };
    let mut bytes = Vec::new();
    answers.put(&mut bytes);
    let mut rest = &bytes[..];
    assert_eq!(Answers::take(&mut rest), Some(answers));
    assert!(rest.is_empty());
});
