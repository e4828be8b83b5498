//! Sends the same requests to nginx and Weir and compares the results; see `tests/compare.rs`.

use crate::{Failure, cargo, packages};

/// Builds both programs and runs them; further arguments go to the comparison.
pub(crate) fn run(arguments: &[&str]) -> Result<(), Failure> {
    if std::env::var_os("WEIR_COMPARE_NGINX").is_none() {
        packages::install(packages::COMPARE)?;
    }
    let binary = match std::env::var_os("WEIR_BINARY") {
        Some(binary) => binary.into(),
        None => cargo::build(cargo::Profile::Debug)?,
    };
    let run = ["run", "--quiet", "--package", "weir-tests", "--bin", "compare", "--"];
    let mut command = cargo::cargo(&[&run, arguments].concat());
    cargo::succeed(command.env("WEIR_BINARY", binary))
}
