//! `package --check`: the cases of `packaging/checks`, each on a Debian host of its own, and the
//! checks of the package as a file.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::hosts::Hosts;
use super::pack;
use crate::scratch::Scratch;
use crate::{Failure, cargo, packages};

/// The folder of the cases.
const CASES: &str = "packaging/checks";

/// Packs a program in two versions and runs the cases whose names hold a word; that of acme.sh needs a
/// folder with it.
pub(super) fn run(program: &Path, word: &str, acme: Option<&Path>) -> Result<(), Failure> {
    packages::install(packages::CHECKS)?;
    let scratch = Scratch::new("checks")?;
    let folder = scratch.folder("packages")?;
    let [old, symbols] = pack(program, "1", &folder)?;
    let [new, _] = pack(program, "2", &folder)?;
    for (path, name) in [(&old, "old.deb"), (&symbols, "symbols.deb"), (&new, "new.deb")] {
        let place = folder.join(name);
        std::fs::rename(path, &place).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if let Some(acme) = acme {
        let mut copy = Command::new("cp");
        cargo::succeed(copy.arg("-r").arg(acme).arg(folder.join("acme.sh")))?;
    }
    let mut failed = Vec::new();
    let mut note = |name: &str, passes: bool, said: &str| {
        let skipped = said.lines().find(|line| passes && line.starts_with("skipped: "));
        println!("{name}: {}", skipped.unwrap_or(if passes { "passed" } else { "failed" }));
        if !passes {
            println!("{said}");
            failed.push(name.to_owned());
        }
    };
    if "lintian".contains(word) {
        let (passes, said) = lintian(&folder)?;
        note("lintian", passes, &said);
    }
    let hosts = Hosts::new()?;
    for case in cases()?.iter().filter(|case| name(case).contains(word)) {
        let (passes, said) = hosts.run(case, &folder, &scratch)?;
        note(&name(case), passes, &said);
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

/// Whether lintian has nothing to say of the packages.
fn lintian(folder: &Path) -> Result<(bool, String), Failure> {
    let mut command = Command::new("lintian");
    command.args(["--allow-root", "--no-tag-display-limit", "--fail-on=error,warning"]);
    let output = command.arg(folder.join("old.deb")).arg(folder.join("symbols.deb")).output();
    let output = output.map_err(|error| format!("lintian: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok((output.status.success() && said.trim().is_empty(), said))
}

fn cases() -> Result<Vec<PathBuf>, Failure> {
    let folder = cargo::root().join(CASES);
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{CASES}: {error}"))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut cases: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "sh")).collect();
    cases.sort();
    Ok(cases)
}

fn name(case: &Path) -> String {
    case.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
