//! The program in `tests/peers/tonic`: a client and a server of gRPC by tonic. It is a package of
//! its own, as Weir has nothing to do with tonic's runtime.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the program, unless it is there, in the folder `tonic` of a target directory.
///
/// # Errors
///
/// What cargo says if it cannot build it.
pub fn build(target: &Path) -> Result<PathBuf, Unbuilt> {
    let target = target.join("tonic");
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/tonic/Cargo.toml");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "--locked", "--manifest-path", manifest, "--target-dir"]);
    let output = command.arg(&target).output().map_err(|error| Unbuilt(error.to_string()))?;
    if !output.status.success() {
        return Err(Unbuilt(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(target.join("debug/weir-tests-tonic"))
}

/// What cargo says of a program that it cannot build.
#[derive(Clone, Debug)]
pub struct Unbuilt(pub String);
