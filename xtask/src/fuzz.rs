//! Fuzzing: every parser of external bytes has a target, run by libFuzzer for a limited time.

use std::process::Command;
use std::sync::Mutex;

use crate::{Failure, cargo, packages};

/// The default time per target in seconds.
const SECONDS: &str = "20";

/// The number of concurrent targets.
const AT_ONCE: usize = 2;

/// Runs the named target, or all, for the given number of seconds each.
pub(crate) fn run(arguments: &[&str]) -> Result<(), Failure> {
    let seconds = arguments.get(1).unwrap_or(&SECONDS);
    let targets = targets(arguments.first().copied())?;
    if !packages::is_installed("cargo-fuzz") {
        cargo::succeed(&mut cargo::cargo(&["install", "--locked", "cargo-fuzz"]))?;
    }
    let mut build = fuzz("build");
    build.args(arguments.first());
    cargo::succeed(&mut build)?;
    let next = Mutex::new(targets.iter());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(target) = { next.lock().unwrap().next() } {
                    if let Err(failure) = attack(target, seconds) {
                        failures.lock().unwrap().push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// `cargo fuzz`, whose compiler options only a nightly toolchain accepts. No sanitizer: safe code
/// needs none, and runs are four times as fast without.
fn fuzz(verb: &str) -> Command {
    let mut command = cargo::cargo(&["fuzz", verb, "--sanitizer", "none"]);
    command.env("RUSTC_BOOTSTRAP", "1");
    command
}

/// Runs one target and shows its output only on failure.
fn attack(target: &str, seconds: &str) -> Result<(), Failure> {
    let corpus = format!("fuzz/corpus/{target}");
    std::fs::create_dir_all(cargo::root().join(&corpus)).map_err(|error| error.to_string())?;
    let mut command = fuzz("run");
    command.args([target, &corpus]);
    // The seeds, in addition to earlier findings.
    let seeds = format!("fuzz/seeds/{target}");
    if cargo::root().join(&seeds).is_dir() {
        command.arg(&seeds);
    }
    command.args([
        "--",
        &format!("-max_total_time={seconds}"),
        "-timeout=10",
        "-rss_limit_mb=2048",
    ]);
    let output = command.output().map_err(|error| format!("cargo fuzz: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("fuzzing {target} failed:\n{said}"));
    }
    let runs = said.lines().rev().find_map(|line| line.strip_prefix("Done ")?.split(' ').next());
    // No run means no test.
    match runs.and_then(|runs| runs.parse::<u64>().ok()).filter(|runs| *runs > 0) {
        Some(runs) => {
            println!("fuzzing {target}: {runs} inputs in {seconds} s");
            Ok(())
        }
        None => Err(format!("fuzzing {target} ran no input:\n{said}")),
    }
}

fn targets(only: Option<&str>) -> Result<Vec<String>, Failure> {
    let folder = cargo::root().join("fuzz/fuzz_targets");
    let entries = std::fs::read_dir(&folder)
        .map_err(|error| format!("no fuzz targets in {}: {error}", folder.display()))?;
    let stems = entries.filter_map(|entry| {
        entry.ok()?.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned)
    });
    let mut targets: Vec<String> =
        stems.filter(|name| only.is_none_or(|only| name == only)).collect();
    targets.sort();
    if targets.is_empty() { Err("no such fuzz target".to_owned()) } else { Ok(targets) }
}
