//! Why something failed.

use std::fmt;

use super::line::harmless;

/// Why something failed, for the user; empty for a wrong use of the command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reason(String);

impl Reason {
    /// A reason in words, which may be a server's: they do not command the terminal.
    pub(super) fn new(text: impl AsRef<str>) -> Self {
        Self(harmless(text.as_ref()))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
