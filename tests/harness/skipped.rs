//! Tests that cannot run on this machine.

use std::io::{self, Write};

/// Says that the test of this thread is skipped, for `cargo xtask test` to count. Not by
/// `eprintln`, which a test that passes shows nobody.
pub(crate) fn skipped(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let _ = writeln!(io::stderr(), "skipped: {test}: {reason}");
}
