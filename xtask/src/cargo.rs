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

/// Builds the server and tells where it is.
pub(crate) fn build(release: bool) -> Result<PathBuf, Failure> {
    let mut command = cargo(&["build", "--package", "weir-server", "--bin", "weir"]);
    if release {
        command.arg("--release");
    }
    succeed(&mut command)?;
    // This program is TARGET/debug/xtask, whatever TARGET is.
    let me = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = me.parent().and_then(Path::parent).ok_or("xtask is not in a target directory")?;
    Ok(target.join(if release { "release" } else { "debug" }).join("weir"))
}
