//! The Debian packages that tests and measurements use.

use std::path::Path;
use std::process::Command;

use crate::{Failure, cargo};

/// A program and the package that has it.
pub(crate) type Needed = (&'static str, &'static str);

/// What the end-to-end tests use.
pub(crate) const TESTS: &[Needed] = &[
    ("apache2", "apache2"),
    ("curl", "curl"),
    ("gzip", "gzip"),
    ("ip", "iproute2"),
    ("memcached", "memcached"),
    ("openssl", "openssl"),
];

/// What Weir is compared with.
pub(crate) const COMPARE: &[Needed] = &[("nginx", "nginx"), ("openssl", "openssl")];

/// What load is made with: the backend, the generator, certificates.
pub(crate) const LOAD: &[Needed] = &[("nginx", "nginx"), ("wrk", "wrk"), ("openssl", "openssl")];

/// What the measurements compare with besides nginx.
pub(crate) const BENCH: &[Needed] = &[
    ("haproxy", "haproxy"),
    // What Pingora is built with.
    ("cmake", "cmake"),
    ("pkg-config", "pkg-config"),
    ("c++", "g++"),
];

/// What instructions are counted with.
pub(crate) const INSTRUCTIONS: &[Needed] = &[("valgrind", "valgrind")];

/// Installs what is missing, when this process may; otherwise says what is missing.
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

/// Whether a program is on the path, or where servers live.
pub(crate) fn is_installed(program: &str) -> bool {
    // Servers live in sbin, which is not on every user's path.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    path.split(':').any(|folder| Path::new(folder).join(program).is_file())
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
