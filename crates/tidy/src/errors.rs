//! Errors are types that say whose fault they are, not bare texts or numbers.

use crate::source::Source;
use crate::tree;

fn bare_errors(source: &Source) -> Vec<String> {
    let lines = source.bare_errors.iter();
    lines.map(|line| format!("{}:{line} returns a bare error", source.path)).collect()
}

#[test]
fn errors_have_types() {
    assert_eq!(tree::faults(bare_errors), [""; 0]);
    let at = |code| bare_errors(&Source::parse("crates/http/src/a.rs", code));
    for code in [
        "fn f() -> Result<(), String> {}",
        "fn f() -> std::result::Result<(), u16> {}",
        "struct A; impl A { pub async fn f(&self) -> Result<A, String> {} }",
        "trait A { fn f() -> Result<Vec<u8>, String>; }",
    ] {
        assert_eq!(at(code).len(), 1, "{code}");
    }
    for code in [
        "fn f() -> Result<String, Fault> {}",
        "fn f() -> Option<String> {}",
        "#[cfg(test)] mod tests { fn f() -> Result<(), String> {} }",
    ] {
        assert!(at(code).is_empty(), "{code}");
    }
}
