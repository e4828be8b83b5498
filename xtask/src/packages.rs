//! The Debian packages used by tests and measurements.

use std::path::Path;
use std::process::Command;

use crate::{Failure, cargo};

/// A program, or another file by its path, and its package. A `*` at the end of a program's name
/// stands for a version, which depends on the release of Debian.
pub(crate) type Needed = (&'static str, &'static str);

/// For end-to-end tests.
pub(crate) const TESTS: &[Needed] = &[
    ("apache2", "apache2"),
    ("chromium", "chromium"),
    ("curl", "curl"),
    ("etcd", "etcd-server"),
    ("etcdctl", "etcd-client"),
    ("gunicorn", "gunicorn"),
    ("gzip", "gzip"),
    ("ip", "iproute2"),
    ("keepalived", "keepalived"),
    ("memcached", "memcached"),
    ("nginx", "nginx"),
    ("nghttp", "nghttp2-client"),
    ("nghttpd", "nghttp2-server"),
    ("openssl", "openssl"),
    ("pebble", "pebble"),
    ("php-fpm*", "php-fpm"),
    ("promtool", "prometheus"),
    ("/usr/lib/python3/dist-packages/flask/app.py", "python3-flask"),
    ("/usr/lib/python3/dist-packages/grpc/__init__.py", "python3-grpcio"),
    ("uwsgi", "uwsgi-core"),
    ("uwsgi_python3", "uwsgi-plugin-python3"),
];

/// For comparisons.
pub(crate) const COMPARE: &[Needed] = &[
    ("nginx", "nginx"),
    ("openssl", "openssl"),
    ("php-fpm*", "php-fpm"),
    ("uwsgi", "uwsgi-core"),
    ("uwsgi_python3", "uwsgi-plugin-python3"),
];

/// For packages.
pub(crate) const PACKAGE: &[Needed] = &[
    ("dpkg-deb", "dpkg"),
    ("dpkg-shlibdeps", "dpkg-dev"),
    ("objcopy", "binutils"),
    ("git", "git"),
];

/// For checks of packages.
pub(crate) const CHECKS: &[Needed] = &[("debootstrap", "debootstrap"), ("lintian", "lintian")];

/// For load: the backend, the generator, certificates.
pub(crate) const LOAD: &[Needed] =
    &[("nginx", "nginx"), ("wrk", "wrk"), ("h2load", "nghttp2-client"), ("openssl", "openssl")];

/// For measurements of other servers than nginx.
pub(crate) const BENCH: &[Needed] = &[
    ("haproxy", "haproxy"),
    // For building Pingora.
    ("cmake", "cmake"),
    ("pkg-config", "pkg-config"),
    ("c++", "g++"),
];

/// For counting instructions.
pub(crate) const INSTRUCTIONS: &[Needed] =
    &[("valgrind", "valgrind"), ("h2load", "nghttp2-client")];

/// For building h2spec: Go, and the libraries that it names.
pub(crate) const H2SPEC: &[Needed] = &[
    ("go", "golang-go"),
    ("openssl", "openssl"),
    ("/usr/share/gocode/src/github.com/fatih/color/color.go", "golang-github-fatih-color-dev"),
    ("/usr/share/gocode/src/github.com/spf13/cobra/cobra.go", "golang-github-spf13-cobra-dev"),
    ("/usr/share/gocode/src/golang.org/x/net/http2/http2.go", "golang-golang-x-net-dev"),
];

/// What libFuzzer is built with.
pub(crate) const FUZZ: &[Needed] = &[("c++", "g++")];

/// Installs missing packages if this process may, or else fails with their names.
pub(crate) fn install(needed: &[Needed]) -> Result<(), Failure> {
    let missing: Vec<&str> = needed
        .iter()
        .filter(|(program, _)| !is_installed(program))
        .map(|needed| needed.1)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !is_root() || !is_installed("apt-get") {
        return Err(format!("these packages are missing; install them and run this again: {list}"));
    }
    println!("installing {list}");
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["-q", "-y"]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        cargo::succeed(&mut command)
    };
    apt(&["update"])?;
    let arguments = [&["install", "--no-install-recommends"], &missing[..]].concat();
    apt(&arguments)
}

/// Whether a program is on the path or in the folders of system programs.
pub(crate) fn is_installed(program: &str) -> bool {
    // sbin is not on every user's path.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let Some(start) = program.strip_suffix('*') else {
        return path.split(':').any(|folder| Path::new(folder).join(program).is_file());
    };
    let begins = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with(start);
    let folders = path.split(':').filter_map(|folder| std::fs::read_dir(folder).ok());
    folders.flatten().flatten().any(begins)
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_a_version() {
        assert!(is_installed("sh") && is_installed("s*") && is_installed("/bin/sh"));
        assert!(!is_installed("no-such-program") && !is_installed("no-such-program*"));
    }
}
