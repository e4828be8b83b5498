//! Fuzz targets, run by libFuzzer for a while: every parser of bytes from outside has one.

use std::process::Command;
use std::sync::Mutex;

use crate::{Failure, cargo, packages};

/// Seconds that each target gets when nothing else is asked for.
const SECONDS: &str = "20";

/// Targets at once.
const AT_ONCE: usize = 2;

/// Runs the target of that name, or all, each for so many seconds.
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

/// `cargo fuzz`, which asks for options of the compiler that only a nightly one takes by itself.
/// No sanitizer: memory is safe here by construction, and runs are four times as fast without.
fn fuzz(verb: &str) -> Command {
    let mut command = cargo::cargo(&["fuzz", verb, "--sanitizer", "none"]);
    command.env("RUSTC_BOOTSTRAP", "1");
    command
}

/// Runs one target. What it prints is shown only if it fails.
fn attack(target: &str, seconds: &str) -> Result<(), Failure> {
    let corpus = format!("fuzz/corpus/{target}");
    std::fs::create_dir_all(cargo::root().join(&corpus)).map_err(|error| error.to_string())?;
    let mut command = fuzz("run");
    command.args([target, &corpus]);
    // What it begins with, besides what it has found before.
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
    // Without a run nothing was tried.
    match runs.and_then(|runs| runs.parse::<u64>().ok()).filter(|runs| *runs > 0) {
        Some(runs) => {
            println!("fuzzing {target}: {runs} inputs in {seconds} s");
            Ok(())
        }
        None => Err(format!("fuzzing {target} has tried nothing:\n{said}")),
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
