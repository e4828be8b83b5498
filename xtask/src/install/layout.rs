//! Which places the server is built for.

use std::path::{Path, PathBuf};

use super::version_of;
use crate::Failure;

/// The layouts that the server knows by name.
const LAYOUTS: [&str; 3] = ["packages", "debian", "source"];

/// The arguments of nginx's `configure` that name places or users.
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

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// `--quick`: not trained.
    pub(super) quick: bool,
    base: Base,
    /// Further arguments of `configure`, which prevail.
    given: Vec<String>,
}

/// Where the places come from.
#[derive(Debug, PartialEq, Eq)]
enum Base {
    /// `--layout=NAME`.
    Named(&'static str),
    /// `--like=PROGRAM`: the places of an nginx that is installed.
    Like(PathBuf),
}

impl Choice {
    /// Reads the arguments of the chore. nginx's `--prefix` alone means what it means there:
    /// everything lies below.
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
                _ => return Err(format!("\"{argument}\" is no argument of install")),
            }
        }
        if !has_base && choice.given.iter().any(|argument| argument.starts_with("--prefix=")) {
            choice.base = Base::Named("source");
        }
        Ok(choice)
    }

    /// All places, for the build.
    pub(super) fn configure(&self) -> Result<String, Failure> {
        let mut arguments = match &self.base {
            Base::Named(name) => vec![format!("--layout={name}")],
            Base::Like(program) => like(program, &version_of(program)?)?,
        };
        arguments.extend(self.given.iter().cloned());
        Ok(arguments.join(" "))
    }
}

/// The places of an nginx that is installed, and beside it our program.
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

/// The list that `-V` ends with.
fn configure_arguments<'a>(
    program: &Path,
    version: &'a str,
) -> Result<impl Iterator<Item = &'a str>, Failure> {
    let list = version.split_once("configure arguments:");
    let (_, list) = list.ok_or(format!("{}: -V lists no arguments", program.display()))?;
    Ok(list.lines().next().unwrap_or_default().split_ascii_whitespace())
}

/// The build takes the arguments as one text with blanks between them.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c == '\'' || c == '"')
}

/// Where things are, all absolute but for an error log that is `stderr`.
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
    /// Asks the program that was built.
    pub(super) fn of(program: &Path) -> Result<Self, Failure> {
        Self::read(&version_of(program)?)
    }

    /// Reads what it prints with `-V`.
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
    fn what_is_given_prevails_over_the_layout() {
        let choice = Choice::of(&["--layout=debian", "--pid-path=/run/weir.pid"]).unwrap();
        assert_eq!(choice.configure().unwrap(), "--layout=debian --pid-path=/run/weir.pid");
    }

    #[test]
    fn arguments_that_do_nothing_are_refused() {
        for argument in ["--prefx=/opt", "--layout=suse", "--prefix=", "--prefix=/a b", "/opt"] {
            assert!(Choice::of(&[argument]).is_err(), "{argument}");
        }
    }

    #[test]
    fn an_nginx_that_is_installed_shows_its_places() {
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
