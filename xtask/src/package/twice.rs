//! `package --twice`: the commit is built in two folders, and the packages must be the same bytes.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Source, read, said};
use crate::scratch::Scratch;
use crate::{Failure, cargo};

/// The folders, which differ in the length of their names and in their depth.
const FOLDERS: [&str; 2] = ["one", "another/folder"];

/// Builds the packages of the commit in two clones, one after the other, and compares them.
pub(super) fn run(source: &Source) -> Result<(), Failure> {
    let how = match source {
        Source::Quick => "--quick".to_owned(),
        Source::Trained(Some(profile)) => {
            let profile = std::path::absolute(profile);
            format!("--profile={}", profile.map_err(|error| error.to_string())?.display())
        }
        Source::Trained(None) => {
            return Err("two trainings differ: --twice needs --quick or --profile=FILE".into());
        }
        Source::Debug | Source::Program(_) => {
            return Err("--twice builds a release: with --quick or --profile=FILE".into());
        }
    };
    if !said("git", &["status", "--porcelain"])?.is_empty() {
        return Err("--twice builds the last commit, and there are changes after it".into());
    }
    // Another commit may be made meanwhile.
    let commit = said("git", &["rev-parse", "HEAD"])?;
    let scratch = Scratch::new("twice")?;
    let mut made = Vec::new();
    for name in FOLDERS {
        let clone = scratch.path().join(name);
        let packages = scratch.path().join(format!("{name}.packages"));
        cargo::succeed(
            Command::new("git").args(["clone", "--quiet"]).arg(cargo::root()).arg(&clone),
        )?;
        let checkout = ["checkout", "--quiet", "--detach", &commit];
        cargo::succeed(Command::new("git").arg("-C").arg(&clone).args(checkout))?;
        let target = clone.join("target");
        let mut build = cargo::cargo(&["xtask", "package", &how]);
        build.current_dir(&clone).env("CARGO_TARGET_DIR", &target);
        cargo::succeed(build.arg(format!("--into={}", packages.display())))?;
        // The disk holds one build at a time.
        std::fs::remove_dir_all(&clone).map_err(|error| format!("{}: {error}", clone.display()))?;
        made.push(packages);
    }
    compare(&made[0], &made[1]).map_err(|failure| match keep(&made) {
        Ok(folder) => format!("{failure}; both are in {}", folder.display()),
        Err(error) => format!("{failure}; {error}"),
    })
}

/// Keeps packages that differ, for a look at them.
fn keep(made: &[PathBuf]) -> Result<PathBuf, Failure> {
    let folder = cargo::target()?.join("twice");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for (number, made) in made.iter().enumerate() {
        let place = folder.join(number.to_string());
        cargo::succeed(Command::new("cp").arg("-r").arg(made).arg(&place))?;
    }
    Ok(folder)
}

/// Requires the same packages in two folders.
fn compare(one: &Path, other: &Path) -> Result<(), Failure> {
    let packages = packages(one)?;
    if packages.is_empty() {
        return Err(format!("no packages in {}", one.display()));
    }
    for path in packages {
        let name = path.file_name().unwrap_or_default();
        if read(&path)? != read(&other.join(name))? {
            return Err(format!("{} differs", name.display()));
        }
        println!("{}: the same twice", name.display());
    }
    Ok(())
}

fn packages(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(folder);
    let entries = entries.map_err(|error| format!("{}: {error}", folder.display()))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(paths.filter(|path| path.extension().is_some_and(|ending| ending == "deb")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_of_difference_is_one() {
        let scratch = Scratch::new("compare").unwrap();
        let (one, other) = (scratch.folder("one").unwrap(), scratch.folder("other").unwrap());
        assert!(compare(&one, &other).is_err());
        std::fs::write(one.join("a.deb"), "1").unwrap();
        assert!(compare(&one, &other).is_err());
        std::fs::write(other.join("a.deb"), "2").unwrap();
        assert_eq!(compare(&one, &other).unwrap_err(), "a.deb differs");
        std::fs::write(other.join("a.deb"), "1").unwrap();
        compare(&one, &other).unwrap();
    }
}
