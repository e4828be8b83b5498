//! All checks that a change must pass.

use std::process::Command;

use crate::cargo::{self, Profile, build, cargo, root, succeed};
use crate::{Failure, packages};
use run::{Run, SKIPPED};

mod run;

/// With more failed tests, none is run again.
const MOST_AGAIN: usize = 3;

/// Runs all checks, or only the end-to-end tests with the given name.
pub(crate) fn run(arguments: &[&str]) -> Result<(), Failure> {
    let release = arguments.contains(&"--release");
    let names: Vec<&str> =
        arguments.iter().copied().filter(|argument| *argument != "--release").collect();
    packages::install(packages::TESTS)?;
    // Before the tests, which it would slow down.
    weir_tests::tonic::build(&cargo::target()?).map_err(|unbuilt| unbuilt.0)?;
    let profile = if release { Profile::Release } else { Profile::Debug };
    if !names.is_empty() {
        return end_to_end(profile, &names, None).map(drop);
    }
    step("format", succeed(&mut cargo(&["fmt", "--all", "--check"])))?;
    let lints = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    step("lints", succeed(&mut cargo(&lints)))?;
    let unit = ["test", "--quiet", "--workspace", "--exclude", "weir-tests"];
    let mut skipped = tests("unit tests", &mut cargo(&unit))?;
    let has_ring = !skipped.iter().any(|test| test.contains(NO_RING));
    skipped.extend(end_to_end(profile, &[], None)?);
    if has_ring {
        skipped.extend(by_ring(profile)?);
    } else {
        skipped.push(format!("{SKIPPED}all by io_uring: {NO_RING}"));
    }
    println!("{} tests skipped", skipped.len());
    skipped.iter().for_each(|test| println!("{test}"));
    Ok(())
}

/// The reason of tests that need a ring.
const NO_RING: &str = "there is no io_uring";

/// The environment variable that selects the event method of tests.
const USE: &str = "WEIR_TEST_USE";

/// Runs the end-to-end tests of these names, or all, by the method, else by the environment's,
/// else by epoll. Returns the skipped ones.
fn end_to_end(
    profile: Profile,
    names: &[&str],
    method: Option<&str>,
) -> Result<Vec<String>, Failure> {
    let binary = build(profile)?;
    let mut command = cargo(&["test", "--quiet", "--package", "weir-tests", "--"]);
    if names.is_empty() {
        command.args(skips(&pending()?));
    }
    command.args(names);
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        command.env("RUST_TEST_THREADS", tests_at_once().to_string());
    }
    // Another binary may be given, for comparison.
    if std::env::var_os("WEIR_BINARY").is_none() {
        command.env("WEIR_BINARY", binary);
    }
    let usual = || std::env::var(USE).unwrap_or_else(|_| "epoll".to_owned());
    let method = method.map_or_else(usual, str::to_owned);
    command.env(USE, &method);
    let name = format!("end-to-end tests by {method}");
    let run = run::run(&mut command)?;
    let outcome = if run.status.success() { Ok(()) } else { Err(run.fault()) };
    if outcome.is_err() {
        again(&name, &run, &command)?;
    }
    step(&run.name(&name), outcome)?;
    Ok(run.skipped)
}

/// How many end-to-end tests run at once: two for every core, since many of them wait for
/// times of keepalived, timeouts or health checks to pass.
fn tests_at_once() -> usize {
    2 * std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs a few failed tests again, each alone, and says whether they pass then. They have failed
/// nevertheless: a test that is unsteady mostly shows a race of the server.
fn again(name: &str, run: &Run, command: &Command) -> Result<(), Failure> {
    if run.failed.len() > MOST_AGAIN {
        return Ok(());
    }
    for test in &run.failed {
        let mut alone = cargo(&["test", "--quiet", "--package", "weir-tests", "--"]);
        let set = command.get_envs().filter_map(|(key, value)| Some((key, value?)));
        alone.args(["--exact", test.as_str()]).envs(set);
        let passes = run::run(&mut alone)?.status.success();
        let said = if passes { "passes alone, it is unsteady" } else { "fails alone, too" };
        println!("{name}: {test} {said}");
    }
    Ok(())
}

/// The tests that depend on the event method, by io_uring.
fn by_ring(profile: Profile) -> Result<Vec<String>, Failure> {
    // Certificate verification uses no loop.
    let skip = ["test", "--quiet", "--package", "weir-engine", "--", "--skip", "tls::verify"];
    let mut unit = cargo(&skip);
    let mut skipped = tests("unit tests of the loop by io_uring", unit.env(USE, "io_uring"))?;
    skipped.extend(end_to_end(profile, &[], Some("io_uring"))?);
    Ok(skipped)
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

/// Runs tests, shows their output, and returns the lines of skipped ones.
fn tests(name: &str, command: &mut Command) -> Result<Vec<String>, Failure> {
    let run = run::run(command)?;
    let outcome = if run.status.success() { Ok(()) } else { Err(run.fault()) };
    step(&run.name(name), outcome)?;
    Ok(run.skipped)
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
