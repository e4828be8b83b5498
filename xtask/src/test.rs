//! Everything that must pass before a change lands.

use crate::cargo::{build, cargo, succeed};
use crate::{Failure, packages};

/// Runs all checks, or with a name only the end-to-end tests of that name.
pub(crate) fn run(arguments: &[&str]) -> Result<(), Failure> {
    let release = arguments.contains(&"--release");
    let names: Vec<&str> =
        arguments.iter().copied().filter(|argument| *argument != "--release").collect();
    packages::install(packages::TESTS)?;
    if names.is_empty() {
        step("format", succeed(&mut cargo(&["fmt", "--all", "--check"])))?;
        let lints = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
        step("lints", succeed(&mut cargo(&lints)))?;
        let unit = ["test", "--quiet", "--workspace", "--exclude", "weir-tests"];
        step("unit tests", succeed(&mut cargo(&unit)))?;
    }
    let binary = build(release)?;
    let mut command = cargo(&["test", "--quiet", "--package", "weir-tests", "--"]);
    command.args(names);
    // Another binary may stand in, to compare.
    if std::env::var_os("WEIR_BINARY").is_none() {
        command.env("WEIR_BINARY", binary);
    }
    step("end-to-end tests", succeed(&mut command))
}

fn step(name: &str, outcome: Result<(), Failure>) -> Result<(), Failure> {
    match outcome {
        Ok(()) => {
            println!("{name}: passed");
            Ok(())
        }
        Err(failure) => Err(format!("{name}: failed: {failure}")),
    }
}
