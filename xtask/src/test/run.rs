//! A run of tests by cargo: its output is shown, and read for what it says of single tests.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;

/// The mark of a test that cannot run on this machine, before its name and the reason.
pub(super) const SKIPPED: &str = "skipped: ";

/// What a run has said.
pub(super) struct Run {
    /// The command.
    pub(super) shown: String,
    pub(super) status: ExitStatus,
    /// How long it took, with the build of the tests.
    took: Duration,
    /// The lines of skipped tests, each once.
    pub(super) skipped: Vec<String>,
    /// The names of failed tests.
    pub(super) failed: Vec<String>,
}

impl Run {
    /// A name with the duration and the number of skipped tests.
    pub(super) fn name(&self, name: &str) -> String {
        let took = self.took.as_secs();
        match self.skipped.len() {
            0 => format!("{name} ({took} s)"),
            count => format!("{name} ({took} s, {count} skipped)"),
        }
    }

    pub(super) fn fault(&self) -> Failure {
        format!("{}: {}", self.shown, self.status)
    }
}

/// Runs tests and shows their output.
pub(super) fn run(command: &mut Command) -> Result<Run, Failure> {
    let shown = format!("{command:?}").replace('"', "");
    let fault = |error: std::io::Error| format!("{shown}: {error}");
    let began = Instant::now();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(fault)?;
    let stdout = child.stdout.take().expect("it is piped");
    let said = std::thread::spawn(move || show(stdout));
    let mut skipped = Vec::new();
    for line in BufReader::new(child.stderr.take().expect("it is piped")).split(b'\n') {
        let line = line.map_err(fault)?;
        let line = String::from_utf8_lossy(&line);
        eprintln!("{line}");
        // A test may stand in the middle of a line of dots.
        let skip = line.find(SKIPPED).map(|at| line[at..].to_owned());
        skipped.extend(skip.filter(|skip| !skipped.contains(skip)));
    }
    let said = said.join().expect("it does not panic").map_err(fault)?;
    let status = child.wait().map_err(fault)?;
    Ok(Run { shown, status, took: began.elapsed(), skipped, failed: failures(&said) })
}

/// Copies output to the own one, and returns it.
fn show(mut from: impl Read) -> std::io::Result<String> {
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let count = from.read(&mut piece)?;
        if count == 0 {
            return Ok(String::from_utf8_lossy(&all).into_owned());
        }
        std::io::stdout().write_all(&piece[..count])?;
        std::io::stdout().flush()?;
        all.extend_from_slice(&piece[..count]);
    }
}

/// The names in the last list of failures: `failures:`, and indented lines.
fn failures(output: &str) -> Vec<String> {
    let Some((_, list)) = output.rsplit_once("\nfailures:\n") else { return Vec::new() };
    let names = list.lines().map_while(|line| line.strip_prefix("    "));
    names.map(|name| name.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_tests_are_named() {
        let output = "\nrunning 3 tests\n.FF\nfailures:\n\n---- a::b stdout ----\n\nfailures:\n    \
                      a::b\n    c\n\ntest result: FAILED. 1 passed; 2 failed\n";
        assert_eq!(failures(output), ["a::b", "c"]);
        assert!(failures("\nrunning 1 test\n.\ntest result: ok. 1 passed\n").is_empty());
    }
}
