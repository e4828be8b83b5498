//! The dependencies between crates, and the limits of the lower layers.

use crate::source::Source;
use crate::tree;

/// Each crate with those it may depend on. Additions require a change of the picture in
/// `ARCHITECTURE.md`.
const MAY_DEPEND: &[(&str, &[&str])] = &[
    ("conf", &[]),
    ("script", &["conf"]),
    ("wire", &[]),
    ("sys", &[]),
    ("engine", &["sys", "conf"]),
    ("upstream", &["engine", "script", "conf", "wire"]),
    ("edge", &["upstream", "engine", "script", "conf", "wire"]),
    ("acme", &["upstream", "engine", "sys", "conf", "wire"]),
    ("http", &["acme", "edge", "upstream", "engine", "script", "conf", "wire"]),
    ("ha", &["upstream", "engine", "sys", "conf", "wire"]),
    ("server", &["ha", "http", "edge", "upstream", "engine", "sys", "script", "conf", "wire"]),
    ("tidy", &[]),
];

/// Crates without access to the outside world: time and files are arguments.
const PURE: &[&str] = &["conf", "script", "wire"];

/// The paths that they must not name.
const OUTSIDE: &[&str] = &[
    "std::fs",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::os::unix::net",
    "std::process",
    "std::thread",
    "std::time::SystemTime::now",
    "std::time::Instant::now",
    "fastrand",
    "log",
    "nix",
    "rustix",
    "tokio",
];

/// Libraries that only one place may name.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("rustls", &["crates/engine/src/tls"]),
    ("libc", &["crates/sys/"]),
    ("io_uring", &["crates/sys/"]),
    ("regex_automata", &["crates/script/src/regex"]),
    ("fancy_regex", &["crates/script/src/regex"]),
];

/// Functions reserved for the server's process.
const ONLY_SERVER: &[&str] = &[
    "weir_sys::daemon",
    "weir_sys::signal",
    "weir_sys::user",
    "weir_sys::process::execute",
    "weir_sys::process::fork",
    "weir_sys::process::kill",
];

#[test]
fn crates_depend_downwards_only() {
    for (name, allowed) in MAY_DEPEND {
        let manifest = tree::text(&format!("crates/{name}/Cargo.toml"));
        for line in manifest.lines() {
            let Some(rest) = line.strip_prefix("weir-") else { continue };
            let named = rest.split(['.', ' ', '=']).next().unwrap_or_default();
            let is_own = named == *name;
            assert!(is_own || allowed.contains(&named), "crates/{name} must not depend on {named}");
        }
    }
}

#[test]
fn every_crate_has_a_row() {
    let folder = std::fs::read_dir(tree::root().join("crates")).expect("crates");
    for entry in folder {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let known = MAY_DEPEND.iter().any(|(row, _)| *row == name);
        assert!(known, "crates/{name} has no row in tidy's table of layers");
    }
}

fn outside(source: &Source) -> Vec<String> {
    if !PURE.contains(&source.krate()) {
        return Vec::new();
    }
    source.faults(|named| {
        // A glob hides the imported names.
        let is_glob = named.is_in("std") && named.path.ends_with("::*");
        is_glob || OUTSIDE.iter().any(|outside| named.is_in(outside))
    })
}

#[test]
fn pure_crates_have_no_access_to_the_outside_world() {
    assert_eq!(tree::faults(outside), [""; 0]);
    let at = |path: &str, code| outside(&Source::parse(path, code));
    assert!(!at("crates/wire/src/a.rs", "use std::{thread, vec};").is_empty());
    assert!(!at("crates/conf/src/a.rs", "use std::fs; fn f() { fs::read(\"\"); }").is_empty());
    assert!(!at("crates/conf/src/a.rs", "use std::net as n; type A = n::UdpSocket;").is_empty());
    assert!(!at("crates/script/src/a.rs", "use std::time::*;").is_empty());
    assert!(
        at("crates/wire/src/a.rs", "use std::net::IpAddr; use std::time::Duration;").is_empty()
    );
    assert!(at("crates/engine/src/a.rs", "use std::thread;").is_empty());
}

fn misplaced_libraries(source: &Source) -> Vec<String> {
    if source.krate() == "tidy" {
        return Vec::new();
    }
    source.faults(|named| {
        ONLY_IN.iter().any(|(library, places)| {
            named.is_in(library) && !places.iter().any(|place| source.path.starts_with(place))
        })
    })
}

#[test]
fn libraries_stay_in_their_place() {
    assert_eq!(tree::faults(misplaced_libraries), [""; 0]);
    let at = |path: &str, code| misplaced_libraries(&Source::parse(path, code));
    assert!(!at("crates/http/src/a.rs", "use rustls::{Error, self as r};").is_empty());
    assert!(!at("crates/engine/src/a.rs", "fn f() { libc::getpid(); }").is_empty());
    assert!(at("crates/sys/src/a.rs", "fn f() { libc::getpid(); }").is_empty());
}

/// The process that a node has beside master and worker: it runs keepalived.
const GUARD: &str = "crates/ha/src/guard";

/// Where the worker starts a program, which gets none of the signals that the worker blocks.
const HOOK: &str = "crates/acme/src/hook.rs";

fn server_only(source: &Source) -> Vec<String> {
    let may = |place| source.path.starts_with(place);
    if matches!(source.krate(), "server" | "sys") || may(GUARD) || may(HOOK) {
        return Vec::new();
    }
    source.faults(|named| ONLY_SERVER.iter().any(|only| named.is_in(only)))
}

#[test]
fn only_the_server_forks_and_signals() {
    assert_eq!(tree::faults(server_only), [""; 0]);
    let code = "use weir_sys::process; fn f() { process::fork(); }";
    assert!(!server_only(&Source::parse("crates/engine/src/a.rs", code)).is_empty());
    assert!(!server_only(&Source::parse("crates/ha/src/plan.rs", code)).is_empty());
}
