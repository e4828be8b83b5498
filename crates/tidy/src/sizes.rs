//! Limits on the size of files.

use crate::source::is_test_file;
use crate::tree;

/// Lines; the aim is 300. Files of tests have no limit.
const MOST: usize = 500;

/// Longer tables, with reasons. The list only shrinks.
const LONGER: &[(&str, &str)] = &[];

/// Columns.
const WIDTH: usize = 100;

#[test]
fn files_are_small() {
    for (path, text) in tree::rust_files("crates") {
        let lines = text.lines().count();
        let excused = is_test_file(&path) || LONGER.iter().any(|(known, _)| path == *known);
        assert!(lines <= MOST || excused, "{path} has {lines} lines; split it");
    }
}

#[test]
fn excuses_are_needed() {
    for (path, reason) in LONGER {
        let lines = tree::text(path).lines().count();
        assert!(lines > MOST, "{path} is short now; take it off the list ({reason})");
    }
}

#[test]
fn lines_fit() {
    for (path, text) in tree::rust_files("crates") {
        for (at, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            // Quotes, table rows and diagrams are not wrapped.
            let whole = line.contains(['"', '─', '→']);
            assert!(columns <= WIDTH || whole, "{path}:{} has {columns} columns", at + 1);
        }
    }
}
