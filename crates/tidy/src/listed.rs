//! A module is a file in `modules/` and its line in `modules.rs`.

use std::collections::BTreeSet;

use crate::tree::{rust_files, text};

#[test]
fn every_file_of_a_module_is_listed() {
    let list = text("crates/http/src/modules.rs");
    let files = rust_files("crates/http/src/modules");
    let names = files
        .iter()
        .filter_map(|(path, _)| path.strip_prefix("crates/http/src/modules/")?.strip_suffix(".rs"));
    let names: BTreeSet<_> = names.filter(|name| !name.contains('/')).collect();
    assert!(!names.is_empty());
    for name in names {
        assert!(list.contains(&format!("mod {name};")), "{name}.rs is not part of modules.rs");
        assert!(list.contains(&format!("&{name}::MODULE")), "{name} is not in MODULES");
    }
}
