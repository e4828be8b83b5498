//! Walls inside crates: `unsafe`, modules and their siblings, what may fork.

use crate::tree;

#[test]
fn unsafe_stands_in_sys_alone() {
    for (path, text) in tree::rust_files("crates") {
        if path.starts_with("crates/sys/") || path.starts_with("crates/tidy/") {
            continue;
        }
        let code = tree::code(&text);
        assert!(!code.contains("unsafe {") && !code.contains("unsafe fn"), "{path} has unsafe");
        if path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs") {
            assert!(text.contains("#![forbid(unsafe_code)]"), "{path} does not forbid unsafe");
        }
    }
}

/// The names of the HTTP modules.
fn modules() -> Vec<String> {
    let folder = std::fs::read_dir(tree::root().join("crates/http/src/modules")).expect("modules");
    let stem = |path: std::path::PathBuf| Some(path.file_stem()?.to_string_lossy().into_owned());
    let mut names: Vec<String> = folder.filter_map(|e| stem(e.ok()?.path())).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn every_module_is_listed() {
    let list = tree::text("crates/http/src/modules.rs");
    for name in modules() {
        assert!(list.contains(&format!("mod {name};")), "modules.rs does not declare {name}");
        assert!(list.contains(&format!("&{name}::MODULE")), "MODULES does not list {name}");
    }
}

#[test]
fn a_module_never_uses_a_sibling() {
    let names = modules();
    for (path, text) in tree::rust_files("crates/http/src/modules") {
        let own = path.trim_start_matches("crates/http/src/modules/");
        let own = own.split(['/', '.']).next().unwrap_or_default();
        let code = tree::code(&text);
        for name in names.iter().filter(|name| *name != own) {
            assert!(
                !code.contains(&format!("modules::{name}::")),
                "{path} uses the module {name}: move what both need beside modules.rs"
            );
        }
    }
}

#[test]
fn the_core_of_http_knows_no_module() {
    let names = modules();
    for (path, text) in tree::rust_files("crates/http/src") {
        if path.contains("/modules/") || path.ends_with("/modules.rs") {
            continue;
        }
        let code = tree::code(&text);
        for name in &names {
            assert!(!code.contains(&format!("modules::{name}::")), "{path} uses the module {name}");
        }
    }
}

#[test]
fn no_attic_names() {
    for (path, _) in tree::rust_files("crates") {
        let file = path.rsplit('/').next().unwrap_or_default();
        let banned = ["mod.rs", "utils.rs", "util.rs", "common.rs", "helpers.rs", "misc.rs"];
        assert!(!banned.contains(&file), "{path}: say what is in it");
    }
}
