//! The release build with profile-guided optimisation: built once with instrumentation, put under
//! load, and built again with the profile. The compiler then knows the path of a request: it places
//! and inlines that code together, and moves the rest out of the way.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, bench, cargo, packages};

/// Builds the release and prints its path.
pub(crate) fn run() -> Result<(), Failure> {
    println!("{}", build()?.display());
    Ok(())
}

/// Builds the release and returns its path.
pub(crate) fn build() -> Result<PathBuf, Failure> {
    build_with(&trained()?, None)
}

/// Builds the release for other paths than those of nginx.org's packages. They do not affect the
/// training, which all layouts share.
pub(crate) fn build_for(configure: &str) -> Result<PathBuf, Failure> {
    build_with(&trained()?, Some(configure))
}

/// Builds the release with the profile of a training.
pub(crate) fn build_with(profile: &Path, configure: Option<&str>) -> Result<PathBuf, Failure> {
    let flag = Some(format!("-Cprofile-use={}", profile.display()));
    cargo::Shipped { flag, configure, folder: "" }.build()
}

/// The profile of a training. It is skipped if neither sources nor training have changed since the
/// last one.
pub(crate) fn trained() -> Result<PathBuf, Failure> {
    let merge = profile_merger()?;
    let folder = cargo::target()?.join("training");
    let seen = folder.join("seen");
    let flag = Some(format!("-Cprofile-generate={}", seen.display()));
    // It names the folder of the profile.
    let watched = cargo::Shipped { flag, configure: None, folder: "watched" }.compile()?;
    let profile = folder.join(format!("{:016x}.profdata", fingerprint(&watched)?));
    if !profile.is_file() {
        packages::install(packages::LOAD)?;
        start_afresh(&folder)?;
        bench::train(watched)?;
        cargo::succeed(
            Command::new(merge).args(["merge", "--sparse", "-o"]).args([&profile, &seen]),
        )?;
    }
    given(&profile)
}

/// A copy of a profile, named after its content, which cargo does not check. The compiler is given
/// the same path when the profile comes from another training as when it comes from this one.
pub(crate) fn given(file: &Path) -> Result<PathBuf, Failure> {
    let content = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    let folder = cargo::target()?.join("profiles");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let profile = folder.join(format!("{:016x}.profdata", hasher.finish()));
    copy(file, &profile)?;
    Ok(profile)
}

/// Copies a file.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let copied = std::fs::copy(from, to);
    copied.map_err(|error| format!("{}: {error}", to.display()))?;
    Ok(())
}

/// The compiler's tool that merges profiles of several processes; rustup installs it if missing.
fn profile_merger() -> Result<PathBuf, Failure> {
    let libraries = PathBuf::from(cargo::rustc(&["--print", "target-libdir"])?);
    let program = libraries.with_file_name("bin").join("llvm-profdata");
    if !program.is_file() {
        let mut rustup = Command::new("rustup");
        let added = cargo::succeed(rustup.current_dir(cargo::root()).args([
            "component",
            "add",
            "llvm-tools",
        ]));
        added.map_err(|failure| format!("{} is needed: {failure}", program.display()))?;
    }
    Ok(program)
}

/// A fingerprint of the trained binary and the training.
fn fingerprint(watched: &Path) -> Result<u64, Failure> {
    let told = |error| format!("{}: {error}", watched.display());
    let mut hasher = DefaultHasher::new();
    std::fs::read(watched).map_err(told)?.hash(&mut hasher);
    bench::training_plan()?.hash(&mut hasher);
    Ok(hasher.finish())
}

fn start_afresh(folder: &Path) -> Result<(), Failure> {
    let told = |error| format!("{}: {error}", folder.display());
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(told)?;
    }
    std::fs::create_dir_all(folder).map_err(told)
}
