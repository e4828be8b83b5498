//! Fuzzing: every parser of external bytes has a target, run by libFuzzer for a limited time.
//!
//! The stable compiler builds them with the flags that `cargo fuzz` sets, so that only a C++
//! compiler has to be installed, for libFuzzer itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::{Failure, cargo, packages};

/// The time of a run of all targets in seconds, which they share: more targets do not make the
/// checks of a change longer.
const ALL: usize = 150;

/// The time of one target in seconds, unless another one is given.
const ONE: usize = 10;

/// The number of concurrent targets.
const AT_ONCE: usize = 2;

/// Coverage counters and the operands of comparisons, which guide libFuzzer. No
/// sanitizer: memory is safe here by construction, and runs are four times as fast without.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
     -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
     -Cllvm-args=-simplifycfg-branch-fold-threshold=0";

/// The limits of one input, in seconds and MiB; an input beyond them is a failure.
const LIMITS: [&str; 2] = ["-timeout=10", "-rss_limit_mb=2048"];

/// Runs the named target for the given number of seconds, or all for their share of [`ALL`].
pub(crate) fn run(arguments: &[&str]) -> Result<(), Failure> {
    let (only, given) = match arguments {
        [] => (None, None),
        [target] => (Some(*target), Some(ONE)),
        [target, seconds] => {
            (Some(*target), Some(seconds.parse().map_err(|_| "SECONDS is a number")?))
        }
        _ => return Err("fuzz takes the name of a target and a number of seconds".to_owned()),
    };
    let targets = targets(only)?;
    let seconds = given.unwrap_or_else(|| (ALL * AT_ONCE / targets.len()).max(1));
    packages::install(packages::FUZZ)?;
    let binaries = build(only)?;
    let next = Mutex::new(targets.iter());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(target) = { next.lock().expect("no thread panics").next() } {
                    if let Err(failure) = attack(&binaries, target, seconds) {
                        failures.lock().expect("no thread panics").push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no thread panics");
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// Builds the named target, or all, and returns their folder.
fn build(only: Option<&str>) -> Result<PathBuf, Failure> {
    let (host, target) = (cargo::host()?, folder("target"));
    // Only with a target do the flags spare build scripts and macros.
    let mut command = cargo::cargo(&["build", "--quiet", "--release", "--target", &host]);
    command.arg("--manifest-path").arg(folder("Cargo.toml")).arg("--target-dir").arg(&target);
    match only {
        Some(only) => command.args(["--bin", only]),
        None => command.arg("--bins"),
    };
    cargo::succeed(command.env("RUSTFLAGS", FLAGS))?;
    Ok(target.join(host).join("release"))
}

/// Runs one target and shows its output only on failure.
fn attack(binaries: &Path, target: &str, seconds: usize) -> Result<(), Failure> {
    let (corpus, artifacts) = (folder("corpus").join(target), folder("artifacts").join(target));
    for folder in [&corpus, &artifacts] {
        let made = std::fs::create_dir_all(folder);
        made.map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let mut command = Command::new(binaries.join(target));
    // The first folder collects new inputs; the others are only read.
    command.arg(&corpus).args(Some(folder("seeds").join(target)).filter(|seeds| seeds.is_dir()));
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.arg(format!("-max_total_time={seconds}")).args(LIMITS);
    let output = command.output().map_err(|error| format!("{target}: {error}"))?;
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
    let folder = folder("fuzz_targets");
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

/// A folder or a file of the package of targets.
fn folder(name: &str) -> PathBuf {
    cargo::root().join("fuzz").join(name)
}
