//! Attacks on HTTP/2, and what they cost; see `tests/attacks.rs`.

use crate::{Failure, cargo};

/// Builds the server as it is shipped, unless `WEIR_BINARY` names one, and attacks it.
pub(crate) fn run(words: &[&str]) -> Result<(), Failure> {
    let binary = match std::env::var_os("WEIR_BINARY") {
        Some(binary) => binary.into(),
        None => cargo::build(cargo::Profile::Release)?,
    };
    let run = ["run", "--quiet", "--package", "weir-tests", "--bin", "attacks", "--"];
    let mut command = cargo::cargo(&[&run, words].concat());
    cargo::succeed(command.env("WEIR_BINARY", binary))
}
