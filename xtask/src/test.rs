//! All checks that a change must pass.

use crate::cargo::{Profile, build, cargo, root, succeed};
use crate::{Failure, packages};

/// Runs all checks, or only the end-to-end tests with the given name.
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
    let binary = build(if release { Profile::Release } else { Profile::Debug })?;
    let mut command = cargo(&["test", "--quiet", "--package", "weir-tests", "--"]);
    if names.is_empty() {
        command.args(skips(&pending()?));
    }
    command.args(&names);
    // Another binary may be given, for comparison.
    if std::env::var_os("WEIR_BINARY").is_none() {
        command.env("WEIR_BINARY", binary);
    }
    if std::env::var_os(USE).is_none() {
        command.env(USE, "epoll");
    }
    step("end-to-end tests", succeed(&mut command))?;
    if !names.is_empty() {
        return Ok(());
    }
    if !has_io_uring()? {
        println!("the same by io_uring: skipped, this machine has none");
        return Ok(());
    }
    // Certificate verification uses no loop.
    let skip = ["test", "--quiet", "--package", "weir-engine", "--", "--skip", "tls::verify"];
    let mut unit = cargo(&skip);
    step("unit tests of the loop by io_uring", succeed(unit.env(USE, "io_uring")))?;
    step("end-to-end tests by io_uring", succeed(command.env(USE, "io_uring")))
}

/// The environment variable that selects the event method of tests.
const USE: &str = "WEIR_TEST_USE";

/// Whether io_uring is available here.
fn has_io_uring() -> Result<bool, Failure> {
    let mut tests = cargo(&["test", "--quiet", "--package", "weir-sys", "ring::", "--"]);
    let output = tests.arg("--nocapture").output().map_err(|error| error.to_string())?;
    Ok(!String::from_utf8_lossy(&output.stderr).contains("there is no io_uring"))
}

/// End-to-end tests that Weir is known to fail, with reasons; every run shows them, so that they
/// are not taken for passed. They run if selected by name.
fn pending() -> Result<Vec<String>, Failure> {
    let path = root().join("tests/pending.tsv");
    let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let rows = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let tests = rows.map(|row| {
        let (test, reason) = row.split_once('\t').unwrap_or((row, "no reason given"));
        println!("pending: {test}: {reason}");
        test.to_owned()
    });
    Ok(tests.collect())
}

/// Flags of the test binary that skip exactly these tests.
fn skips(tests: &[String]) -> Vec<&str> {
    let skips = tests.iter().flat_map(|test| ["--skip", test]);
    if tests.is_empty() { Vec::new() } else { std::iter::once("--exact").chain(skips).collect() }
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
