//! The server as it is shipped: built once to write down what it does, put under load, and built
//! again with what was written down (profile-guided optimisation). The compiler then knows what a
//! request goes through: that is laid out together and inlined, and the rest is out of the way.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, bench, cargo, packages};

/// Builds it, and says where it is.
pub(crate) fn run() -> Result<(), Failure> {
    println!("{}", build()?.display());
    Ok(())
}

/// Builds it and tells where it is. Where neither the sources nor the training have changed, it
/// is not trained again.
pub(crate) fn build() -> Result<PathBuf, Failure> {
    build_trained(None)
}

/// The same for other places than those of nginx.org's packages. They don't matter for the
/// training, which all layouts share.
pub(crate) fn build_for(configure: &str) -> Result<PathBuf, Failure> {
    build_trained(Some(configure))
}

fn build_trained(configure: Option<&str>) -> Result<PathBuf, Failure> {
    let merge = profile_merger()?;
    let folder = cargo::target()?.join("training");
    let seen = folder.join("seen");
    let watched = cargo::build_with(&format!("-Cprofile-generate={}", seen.display()), None)?;
    // Cargo does not look into the profile, so another one has another name.
    let profile = folder.join(format!("{:016x}.profdata", fingerprint(&watched)?));
    if !profile.is_file() {
        packages::install(packages::LOAD)?;
        start_afresh(&folder)?;
        bench::train(watched)?;
        cargo::succeed(
            Command::new(merge).args(["merge", "--sparse", "-o"]).args([&profile, &seen]),
        )?;
    }
    cargo::build_with(&format!("-Cprofile-use={}", profile.display()), configure)
}

/// The compiler's program that puts the profiles of several processes together; rustup gets it
/// where it is missing.
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

/// Tells apart what was watched, and doing what.
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
