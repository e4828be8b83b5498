//! Running cargo and other programs.

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

/// Runs a command that must succeed.
pub(crate) fn succeed(command: &mut Command) -> Result<(), Failure> {
    let shown = format!("{command:?}").replace('"', "");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown}: {status}")),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

/// How the server is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// For tests.
    Debug,
    /// As it is shipped.
    Release,
    /// Nearly as it is shipped, for counting instructions; quicker to build.
    Guard,
}

impl Profile {
    /// Its name for cargo.
    fn name(self) -> &'static str {
        match self {
            Self::Debug => "dev",
            Self::Release => "release",
            Self::Guard => "guard",
        }
    }

    /// Where cargo puts what it builds.
    fn folder(self) -> &'static str {
        if self == Self::Debug { "debug" } else { self.name() }
    }
}

/// Builds the server and tells where it is.
pub(crate) fn build(profile: Profile) -> Result<PathBuf, Failure> {
    let package = ["build", "--package", "weir-server", "--bin", "weir"];
    succeed(cargo(&package).args(["--profile", profile.name()]))?;
    Ok(target()?.join(profile.folder()).join("weir"))
}

/// The directory that cargo builds in.
pub(crate) fn target() -> Result<PathBuf, Failure> {
    // This program is TARGET/debug/xtask, whatever TARGET is.
    let me = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = me.parent().and_then(Path::parent);
    Ok(target.ok_or("xtask is not in a target directory")?.to_owned())
}
