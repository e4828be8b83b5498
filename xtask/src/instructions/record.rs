//! The recorded figures, in `bench/instructions.tsv`.

use std::fmt::Write;
use std::path::PathBuf;

use crate::{Failure, cargo};

/// The accepted growth in percent.
const MOST_GROWTH: u64 = 5;

/// The comment above the figures.
const HEAD: &str = "\
# Instructions in user space per request, as `cargo xtask instructions` counts them.
# `cargo xtask instructions --record` writes this file.
";

/// Figures by workload.
#[derive(Debug)]
pub(super) struct Record(Vec<(String, u64)>);

impl Record {
    /// Reads the record of this checkout.
    pub(super) fn read() -> Result<Self, Failure> {
        let path = path();
        let told = |error| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(&path).map_err(told)?;
        Ok(Self(rows(&text)))
    }

    /// Prints both figures of each workload; fails if one has grown too much or is not recorded.
    pub(super) fn check(&self, counted: &[(&str, u64)]) -> Result<(), Failure> {
        let mut failures = String::new();
        println!("{:<14} {:>10} {:>10} {:>8}", "", "recorded", "now", "growth");
        for (name, now) in counted {
            let Some(&(_, recorded)) = self.0.iter().find(|(row, _)| row == name) else {
                let _ = writeln!(failures, "{name} is not recorded: {now}");
                continue;
            };
            let growth = 100.0 * (*now as f64 / recorded as f64 - 1.0);
            println!("{name:<14} {recorded:>10} {now:>10} {growth:>+7.1}%");
            if now * 100 > recorded * (100 + MOST_GROWTH) {
                let _ = writeln!(
                    failures,
                    "{name} takes {now} instructions per request, {growth:.1} % more than the \
                     {recorded} on record"
                );
            }
        }
        if failures.is_empty() { Ok(()) } else { Err(failures) }
    }
}

/// Rewrites the record.
pub(super) fn write(counted: &[(&str, u64)]) -> Result<(), Failure> {
    let mut text = HEAD.to_owned();
    for (name, figure) in counted {
        println!("{name:<14} {figure:>10}");
        let _ = writeln!(text, "{name}\t{figure}");
    }
    let path = path();
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn path() -> PathBuf {
    cargo::root().join("bench/instructions.tsv")
}

fn rows(text: &str) -> Vec<(String, u64)> {
    let row = |line: &str| {
        let (name, figure) = line.split_once('\t')?;
        Some((name.to_owned(), figure.parse().ok()?))
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_beyond_the_limit_fails() {
        let record = Record(rows("# a comment\nsmall\t1000\n"));
        assert!(record.check(&[("small", 1050)]).is_ok());
        assert!(record.check(&[("small", 900)]).is_ok());
        assert!(record.check(&[("small", 1051)]).is_err());
        assert!(record.check(&[("new", 10)]).is_err());
    }
}
