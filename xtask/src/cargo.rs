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

/// A release build of the server that names no folder of this machine, so that the same sources
/// give the same program in another folder.
#[derive(Debug, Default)]
pub(crate) struct Shipped<'a> {
    /// A compiler flag for the server and its dependencies, but not for build scripts and macros.
    pub(crate) flag: Option<String>,
    /// Other paths than those of nginx.org's packages, as arguments of nginx's `configure`.
    pub(crate) configure: Option<&'a str>,
    /// A target folder of its own below the usual one. Flags are no part of the names of files, so
    /// that builds with different flags in one folder would replace each other.
    pub(crate) folder: &'a str,
}

impl Shipped<'_> {
    /// Builds it, makes sure that it names no folder, and returns the program's path.
    pub(crate) fn build(&self) -> Result<PathBuf, Failure> {
        let program = self.compile()?;
        let told = |error| format!("{}: {error}", program.display());
        let content = std::fs::read(&program).map_err(told)?;
        let named = places(&self.target()?)?.into_iter().map(|(folder, _)| folder);
        match named.into_iter().find(|folder| holds(&content, folder.as_bytes())) {
            None => Ok(program),
            Some(folder) => Err(format!("{} names {folder}", program.display())),
        }
    }

    /// Builds it without that check, for a program that is not shipped, and returns its path.
    pub(crate) fn compile(&self) -> Result<PathBuf, Failure> {
        let host = host()?;
        let target = self.target()?;
        let (mut rust, mut c) = (Vec::new(), Vec::new());
        for (folder, shown) in places(&target)? {
            rust.push(format!("--remap-path-prefix={folder}={shown}"));
            c.push(format!("-ffile-prefix-map={folder}={shown}"));
        }
        rust.extend(self.flag.clone());
        let mut command = build_server(Profile::Release);
        // With an explicit target, flags apply to the server alone.
        command.args(["--target", &host]).arg("--target-dir").arg(&target);
        let given = std::env::var("RUSTFLAGS").unwrap_or_default();
        let rust: Vec<&str> =
            given.split_whitespace().chain(rust.iter().map(String::as_str)).collect();
        command.env("CARGO_ENCODED_RUSTFLAGS", rust.join("\u{1f}"));
        let given = std::env::var("CFLAGS").unwrap_or_default();
        let variable = format!("CFLAGS_{}", host.replace('-', "_"));
        command.env(variable, format!("{given} {}", c.join(" ")).trim_start());
        // What C writes for __DATE__ and __TIME__: the same at any time, since cargo keeps objects
        // of dependencies for later commits.
        command.env("SOURCE_DATE_EPOCH", "0");
        if let Some(configure) = self.configure {
            command.env(CONFIGURE, configure);
        }
        succeed(&mut command)?;
        Ok(target.join(host).join("release/weir"))
    }

    fn target(&self) -> Result<PathBuf, Failure> {
        Ok(target()?.join(self.folder))
    }
}

/// Whether bytes hold others.
fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// The folders of this machine that a compiler sees, and what it is to write in their place; a
/// later one that matches is taken before an earlier one.
fn places(target: &Path) -> Result<[(String, &'static str); 3], Failure> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let home = home.ok_or("neither CARGO_HOME nor HOME is set")?;
    let text = |path: &Path| path.display().to_string();
    Ok([
        (text(&home), "/usr/src/cargo"),
        (text(root()), "/usr/src/weir"),
        (text(target), "/usr/src/weir/target"),
    ])
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
