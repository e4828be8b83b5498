//! The files of the workspace.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::source::{Source, module_of};

/// The root of the workspace. cargo sets the package's folder at run time, so a test binary copied
/// to another checkout examines that one.
pub(crate) fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    let package = package.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.join("../..")
}

/// The text of a file, by its path from the root.
pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Rust file below a folder: its path from the root, and its text.
pub(crate) fn rust_files(folder: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    collect(&root().join(folder), &mut files);
    files.sort();
    files
}

/// Every file of our crates, parsed once.
pub(crate) fn sources() -> &'static [Source] {
    static SOURCES: OnceLock<Vec<Source>> = OnceLock::new();
    SOURCES.get_or_init(|| {
        let files = rust_files("crates");
        let parse = |(path, text): &(String, String)| Source::parse(path, text);
        let sources: Vec<Source> = files.iter().map(parse).collect();
        without_test_modules(sources)
    })
}

/// Files for tests only have no paths, since no rule applies to them.
fn without_test_modules(mut sources: Vec<Source>) -> Vec<Source> {
    let for_tests: HashSet<(String, String)> = sources
        .iter()
        .flat_map(|source| {
            source.test_modules.iter().map(|module| (source.krate().to_owned(), module.clone()))
        })
        .collect();
    for source in &mut sources {
        let module = module_of(&source.path).join("::");
        if for_tests.contains(&(source.krate().to_owned(), module)) {
            source.named.clear();
        }
    }
    sources
}

/// The faults found by a rule.
pub(crate) fn faults(rule: impl Fn(&Source) -> Vec<String>) -> Vec<String> {
    sources().iter().flat_map(rule).collect()
}

fn collect(folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("a folder of the workspace") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let name = path.strip_prefix(root()).expect("below the root");
            let text = fs::read_to_string(&path).expect("a readable file");
            files.push((name.display().to_string(), text));
        }
    }
}

#[test]
fn files_for_tests_have_no_paths() {
    let file = |path: &str, code| Source::parse(&format!("crates/x/src/{path}"), code);
    let sources = without_test_modules(vec![
        file("lib.rs", "mod a; #[cfg(test)] mod fixture;"),
        file("a.rs", "use std::fs;"),
        file("fixture.rs", "use std::fs;"),
    ]);
    let named: Vec<usize> = sources.iter().map(|source| source.named.len()).collect();
    assert_eq!(named, [0, 1, 0]);
}
