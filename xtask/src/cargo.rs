//! Runs cargo and other programs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// A cargo command in the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(arguments);
    command
}

/// Runs a command and fails unless it succeeds.
pub(crate) fn succeed(command: &mut Command) -> Result<(), Failure> {
    let shown = format!("{command:?}").replace('"', "");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown}: {status}")),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

/// The profile of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// For tests.
    Debug,
    /// The profile of `cargo build --release`; `release.rs` adds to it for shipping.
    Release,
}

impl Profile {
    /// Cargo's name for it.
    fn name(self) -> &'static str {
        match self {
            Self::Debug => "dev",
            Self::Release => "release",
        }
    }

    /// Cargo's folder for its output.
    fn folder(self) -> &'static str {
        if self == Self::Debug { "debug" } else { self.name() }
    }
}

/// Builds the server and returns its path.
pub(crate) fn build(profile: Profile) -> Result<PathBuf, Failure> {
    succeed(&mut build_server(profile))?;
    Ok(target()?.join(profile.folder()).join("weir"))
}

/// The variable with the default paths, as arguments of nginx's `configure`.
pub(crate) const CONFIGURE: &str = "WEIR_CONFIGURE";

/// Builds the server for other paths than those of nginx.org's packages, and returns its path.
pub(crate) fn build_for(configure: &str, profile: Profile) -> Result<PathBuf, Failure> {
    succeed(build_server(profile).env(CONFIGURE, configure))?;
    Ok(target()?.join(profile.folder()).join("weir"))
}

/// Builds the server's release with a compiler flag, which build scripts and macros do not get,
/// optionally for other paths, and returns its path.
pub(crate) fn build_with(flag: &str, configure: Option<&str>) -> Result<PathBuf, Failure> {
    let host = host()?;
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    let mut command = build_server(Profile::Release);
    // With an explicit target, flags apply to the server alone.
    command.args(["--target", &host]).env("RUSTFLAGS", format!("{flags} {flag}"));
    if let Some(configure) = configure {
        command.env(CONFIGURE, configure);
    }
    succeed(&mut command)?;
    Ok(target()?.join(host).join("release/weir"))
}

fn build_server(profile: Profile) -> Command {
    let mut command = cargo(&["build", "--package", "weir-server", "--bin", "weir"]);
    command.args(["--profile", profile.name()]);
    command
}

/// This machine's target triple.
pub(crate) fn host() -> Result<String, Failure> {
    let version = rustc(&["-vV"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| format!("rustc names no host:\n{version}"))
}

/// The version output of the workspace's compiler.
pub(crate) fn rustc(arguments: &[&str]) -> Result<String, Failure> {
    let output = Command::new("rustc").current_dir(root()).args(arguments).output();
    let output = output.map_err(|error| format!("rustc: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Cargo's target directory.
pub(crate) fn target() -> Result<PathBuf, Failure> {
    // This program is TARGET/debug/xtask.
    let me = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = me.parent().and_then(Path::parent);
    Ok(target.ok_or("xtask is not in a target directory")?.to_owned())
}
