//! Rules inside crates: `unsafe`, modules and their siblings, the core of http.

use std::collections::BTreeSet;

use crate::source::Source;
use crate::tree;

/// The folder of http's modules.
const MODULES: &str = "crates/http/src/modules/";

/// The file that lists the modules.
const LIST: &str = "crates/http/src/modules.rs";

fn unsafe_outside_sys(source: &Source) -> Vec<String> {
    if source.krate() == "sys" {
        return Vec::new();
    }
    let is_root = source.path.ends_with("/src/lib.rs") || source.path.ends_with("/src/main.rs");
    let missing = is_root && !source.forbids_unsafe;
    let lines = source.unsafe_lines.iter();
    lines
        .map(|line| format!("{}:{line} is unsafe", source.path))
        .chain(missing.then(|| format!("{} does not forbid unsafe code", source.path)))
        .collect()
}

#[test]
fn only_sys_has_unsafe() {
    assert_eq!(tree::faults(unsafe_outside_sys), [""; 0]);
    let at = |path: &str, code| unsafe_outside_sys(&Source::parse(path, code));
    for code in [
        "fn f() { unsafe { g() } }",
        "unsafe fn f() {}",
        "struct A; unsafe impl Send for A {}",
        "fn f() { m!(unsafe { g() }) }",
        "unsafe extern \"C\" { fn f(); }",
    ] {
        assert!(!at("crates/http/src/a.rs", code).is_empty(), "{code}");
        assert!(at("crates/sys/src/a.rs", code).is_empty(), "{code}");
    }
    assert!(!at("crates/http/src/lib.rs", "fn f() {}").is_empty());
    assert!(at("crates/http/src/lib.rs", "#![forbid(unsafe_code)] fn f() {}").is_empty());
}

/// The names of the modules, from their files.
fn modules() -> BTreeSet<String> {
    let files = tree::rust_files(MODULES);
    let names =
        files.iter().filter_map(|(path, _)| path.strip_prefix(MODULES)?.strip_suffix(".rs"));
    names.filter(|name| !name.contains('/')).map(str::to_owned).collect()
}

#[test]
fn every_module_is_listed() {
    let list = tree::text(LIST);
    let names = modules();
    assert!(!names.is_empty());
    for name in names {
        assert!(list.contains(&format!("mod {name};")), "{LIST} does not declare {name}");
        assert!(list.contains(&format!("&{name}::MODULE")), "MODULES does not list {name}");
    }
}

/// The module that a path of the crate leads to.
fn module_in(path: &str) -> Option<&str> {
    path.strip_prefix("crate::modules::")?.split("::").next()
}

fn siblings(source: &Source, names: &BTreeSet<String>) -> Vec<String> {
    let Some(own) = source.path.strip_prefix(MODULES) else { return Vec::new() };
    let own = own.split(['/', '.']).next().unwrap_or_default();
    source.faults(|named| {
        module_in(&named.path).is_some_and(|name| name != own && names.contains(name))
    })
}

#[test]
fn a_module_never_uses_a_sibling() {
    let names = modules();
    assert_eq!(tree::faults(|source| siblings(source, &names)), [""; 0]);
    let at = |path: &str, code| siblings(&Source::parse(path, code), &names);
    for (path, code) in [
        ("crates/http/src/modules/proxy.rs", "use super::rewrite;"),
        ("crates/http/src/modules/proxy/http1.rs", "use super::super::rewrite::A;"),
        ("crates/http/src/modules/proxy.rs", "use crate::modules::{proxy, rewrite};"),
        ("crates/http/src/modules/proxy.rs", "use super as m; fn f() { m::rewrite::g(); }"),
        ("crates/http/src/modules/proxy.rs", "fn f() { crate::modules::rewrite::g(); }"),
    ] {
        assert!(!at(path, code).is_empty(), "{code}");
    }
    let own = "mod http1; use http1::A; use super::proxy::B; use crate::pass::C;";
    assert!(at("crates/http/src/modules/proxy.rs", own).is_empty());
}

fn core_to_modules(source: &Source) -> Vec<String> {
    if source.path.starts_with(MODULES) || source.path == LIST || source.krate() != "http" {
        return Vec::new();
    }
    source.faults(|named| named.is_in("crate::modules"))
}

#[test]
fn the_core_of_http_knows_no_module() {
    let faults = tree::faults(core_to_modules);
    assert_eq!(faults, [""; 0], "the list of modules is an argument");
    let at = |code| core_to_modules(&Source::parse("crates/http/src/phase.rs", code));
    assert!(!at("use super::modules::proxy;").is_empty());
    assert!(!at("use crate::{request, modules::MODULES};").is_empty());
    assert!(at("use crate::module::Module;").is_empty());
}

/// The layers of connections in engine: what the files under a path must not name, and what of it
/// they may all the same. A socket is below a session of TLS, that is below a connection, and
/// handshakes and listeners are above it.
const CONNECTIONS: &[(&str, &[&str], &[&str])] = &[
    ("crates/engine/src/socket.rs", &["crate::connection", "crate::listen", "crate::tls"], &[]),
    ("crates/engine/src/tls/session", &["crate::connection", "crate::tls::handshake"], &[]),
    ("crates/engine/src/connection", &["crate::tls"], &["crate::tls::info", "crate::tls::session"]),
    ("crates/engine/src/connection", &["crate::listen"], &[]),
    ("crates/engine/src/tls", &["crate::listen"], &[]),
];

fn connections(source: &Source) -> Vec<String> {
    let rows = CONNECTIONS.iter().filter(|(path, _, _)| source.path.starts_with(path));
    let faults = rows.flat_map(|(_, never, but)| {
        source.faults(|named| {
            let is_in = |modules: &[&str]| modules.iter().any(|module| named.is_in(module));
            is_in(never) && !is_in(but)
        })
    });
    faults.collect()
}

#[test]
fn connections_tls_and_listeners_form_no_ring() {
    assert_eq!(tree::faults(connections), [""; 0]);
    let at = |path: &str, code| connections(&Source::parse(path, code));
    for (path, code) in [
        ("crates/engine/src/socket.rs", "use crate::connection::Conn;"),
        ("crates/engine/src/tls/session/send.rs", "use crate::tls::handshake::accept;"),
        ("crates/engine/src/tls/server.rs", "use crate::listen::accept;"),
        ("crates/engine/src/connection.rs", "use crate::listen;"),
        ("crates/engine/src/connection/idle.rs", "use crate::tls::TlsInfo;"),
    ] {
        assert!(!at(path, code).is_empty(), "{code}");
    }
    let own = "use crate::tls::{info::TlsInfo, session::Session}; use crate::socket::Socket;";
    assert!(at("crates/engine/src/connection.rs", own).is_empty());
    assert!(at("crates/engine/src/listen.rs", "use crate::connection::Conn;").is_empty());
}

#[test]
fn no_attic_names() {
    for (path, _) in tree::rust_files("crates") {
        let file = path.rsplit('/').next().unwrap_or_default();
        let banned = ["mod.rs", "utils.rs", "util.rs", "common.rs", "helpers.rs", "misc.rs"];
        assert!(!banned.contains(&file), "{path}: say what is in it");
    }
}
