//! The paths that the server is built for.

use std::path::{Path, PathBuf};

use super::version_of;
use crate::Failure;

/// The server's named layouts.
const LAYOUTS: [&str; 3] = ["packages", "debian", "source"];

/// The arguments of nginx's `configure` for paths and users.
const ARGUMENTS: [&str; 15] = [
    "--prefix",
    "--sbin-path",
    "--modules-path",
    "--conf-path",
    "--error-log-path",
    "--http-log-path",
    "--pid-path",
    "--lock-path",
    "--http-client-body-temp-path",
    "--http-proxy-temp-path",
    "--http-fastcgi-temp-path",
    "--http-uwsgi-temp-path",
    "--http-scgi-temp-path",
    "--user",
    "--group",
];

/// The arguments of the chore.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// `--quick`: no training.
    pub(super) quick: bool,
    base: Base,
    /// Further arguments of `configure`, which take precedence.
    given: Vec<String>,
}

/// The source of the paths.
#[derive(Debug, PartialEq, Eq)]
enum Base {
    /// `--layout=NAME`.
    Named(&'static str),
    /// `--like=PROGRAM`: the paths of an installed nginx.
    Like(PathBuf),
}

impl Choice {
    /// Parses the chore's arguments. As in nginx, `--prefix` alone puts everything below it.
    pub(super) fn of(arguments: &[&str]) -> Result<Self, Failure> {
        let mut choice = Self { quick: false, base: Base::Named("packages"), given: Vec::new() };
        let mut has_base = false;
        for argument in arguments {
            let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
            match name {
                "--quick" => choice.quick = true,
                "--layout" => {
                    let known = LAYOUTS.into_iter().find(|layout| *layout == value);
                    let layout = known.ok_or("--layout is packages, debian or source")?;
                    (choice.base, has_base) = (Base::Named(layout), true);
                }
                "--like" => (choice.base, has_base) = (Base::Like(value.into()), true),
                _ if ARGUMENTS.contains(&name) && is_plain(value) => {
                    choice.given.push((*argument).to_owned());
                }
                _ => return Err(format!("\"{argument}\" is not an argument of install")),
            }
        }
        if !has_base && choice.given.iter().any(|argument| argument.starts_with("--prefix=")) {
            choice.base = Base::Named("source");
        }
        Ok(choice)
    }

    /// All paths, for the build.
    pub(super) fn configure(&self) -> Result<String, Failure> {
        let mut arguments = match &self.base {
            Base::Named(name) => vec![format!("--layout={name}")],
            Base::Like(program) => like(program, &version_of(program)?)?,
        };
        arguments.extend(self.given.iter().cloned());
        Ok(arguments.join(" "))
    }
}

/// The paths of an installed nginx, with our program beside it.
fn like(program: &Path, version: &str) -> Result<Vec<String>, Failure> {
    let beside = program.with_file_name("weir");
    let mut arguments = vec![format!("--sbin-path={}", beside.display())];
    for argument in configure_arguments(program, version)? {
        let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
        if name != "--sbin-path" && ARGUMENTS.contains(&name) && is_plain(value) {
            arguments.push(argument.to_owned());
        }
    }
    Ok(arguments)
}

/// The list at the end of `-V`.
fn configure_arguments<'a>(
    program: &Path,
    version: &'a str,
) -> Result<impl Iterator<Item = &'a str>, Failure> {
    let list = version.split_once("configure arguments:");
    let (_, list) =
        list.ok_or(format!("{}: -V shows no configure arguments", program.display()))?;
    Ok(list.lines().next().unwrap_or_default().split_ascii_whitespace())
}

/// The arguments as one text separated by spaces, as the build takes them.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c == '\'' || c == '"')
}

/// All paths, absolute except for an error log `stderr`.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) prefix: String,
    pub(super) program: String,
    pub(super) conf: String,
    pub(super) error_log: String,
    pub(super) access_log: String,
    pub(super) pid: String,
    pub(super) body_temp: String,
}

impl Places {
    /// Asks the built program.
    pub(super) fn of(program: &Path) -> Result<Self, Failure> {
        Self::read(&version_of(program)?)
    }

    /// Parses the output of `-V`.
    pub(super) fn read(version: &str) -> Result<Self, Failure> {
        let program = Path::new("weir");
        let arguments: Vec<_> = configure_arguments(program, version)?.collect();
        let place = |name: &str| {
            let found = arguments.iter().find_map(|argument| {
                argument.strip_prefix("--")?.strip_prefix(name)?.strip_prefix('=')
            });
            found.map(str::to_owned).ok_or(format!("weir -V shows no --{name}"))
        };
        Ok(Self {
            prefix: place("prefix")?,
            program: place("sbin-path")?,
            conf: place("conf-path")?,
            error_log: place("error-log-path")?,
            access_log: place("http-log-path")?,
            pid: place("pid-path")?,
            body_temp: place("http-client-body-temp-path")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_alone_holds_everything() {
        let choice = Choice::of(&["--prefix=/opt/weir", "--quick"]).unwrap();
        assert!(choice.quick);
        assert_eq!(choice.configure().unwrap(), "--layout=source --prefix=/opt/weir");
    }

    #[test]
    fn arguments_override_the_layout() {
        let choice = Choice::of(&["--layout=debian", "--pid-path=/run/weir.pid"]).unwrap();
        assert_eq!(choice.configure().unwrap(), "--layout=debian --pid-path=/run/weir.pid");
    }

    #[test]
    fn useless_arguments_are_rejected() {
        for argument in ["--prefx=/opt", "--layout=suse", "--prefix=", "--prefix=/a b", "/opt"] {
            assert!(Choice::of(&[argument]).is_err(), "{argument}");
        }
    }

    #[test]
    fn the_paths_of_an_installed_nginx_are_used() {
        let version = "nginx version: nginx/1.22.1\nconfigure arguments: --with-cc-opt='-g -O2' \
                       --prefix=/usr/share/nginx --pid-path=/run/nginx.pid --with-threads\n";
        let arguments = like(Path::new("/usr/sbin/nginx"), version).unwrap();
        let expected = [
            "--sbin-path=/usr/sbin/weir",
            "--prefix=/usr/share/nginx",
            "--pid-path=/run/nginx.pid",
        ];
        assert_eq!(arguments, expected);
    }
}
