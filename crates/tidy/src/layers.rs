//! Which crate may depend on which, and what the lower layers must not know.

use crate::tree;

/// Each crate with those of ours that it may name. Nothing may be added here without a change of
/// the picture in `ARCHITECTURE.md`.
const MAY_DEPEND: &[(&str, &[&str])] = &[
    ("conf", &[]),
    ("script", &["conf"]),
    ("wire", &[]),
    ("sys", &[]),
    ("engine", &["sys", "conf"]),
    ("upstream", &["engine", "script", "conf", "wire"]),
    ("http", &["upstream", "engine", "script", "conf", "wire"]),
    ("server", &["http", "upstream", "engine", "sys", "script", "conf", "wire"]),
    ("tidy", &[]),
];

/// Words that must not stand in the code of crates which know no outside world.
const PURE: &[&str] = &["conf", "script", "wire"];
const OUTSIDE: &[&str] = &[
    "std::net::TcpStream",
    "std::thread",
    "SystemTime::now",
    "Instant::now",
    "tokio::",
    "fastrand",
];

/// Libraries that one place alone may name.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("rustls", &["crates/engine/src/tls"]),
    ("libc", &["crates/sys/"]),
    ("regex_automata", &["crates/script/src/regex"]),
    ("fancy_regex", &["crates/script/src/regex"]),
];

#[test]
fn crates_depend_downwards_only() {
    for (name, allowed) in MAY_DEPEND {
        let manifest = tree::text(&format!("crates/{name}/Cargo.toml"));
        for line in manifest.lines() {
            let Some(rest) = line.strip_prefix("weir-") else { continue };
            let named = rest.split(['.', ' ', '=']).next().unwrap_or_default();
            assert!(allowed.contains(&named), "crates/{name} must not depend on weir-{named}");
        }
    }
}

#[test]
fn every_crate_has_its_row() {
    let folder = std::fs::read_dir(tree::root().join("crates")).expect("crates");
    for entry in folder {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let known = MAY_DEPEND.iter().any(|(row, _)| *row == name);
        assert!(known, "crates/{name} has no row in tidy's table of layers");
    }
}

#[test]
fn pure_crates_know_no_outside_world() {
    for name in PURE {
        for (path, text) in tree::rust_files(&format!("crates/{name}/src")) {
            let code = tree::code(&text);
            for word in OUTSIDE {
                assert!(!code.contains(word), "{path} names {word}");
            }
        }
    }
}

#[test]
fn libraries_stay_where_they_belong() {
    for (path, text) in tree::rust_files("crates") {
        if path.starts_with("crates/tidy/") {
            continue;
        }
        let code = tree::code(&text);
        for (library, places) in ONLY_IN {
            let named = code.contains(&format!("{library}::"));
            let allowed = places.iter().any(|place| path.starts_with(place));
            assert!(!named || allowed, "{path} names {library}, which belongs to {places:?}");
        }
    }
}
