//! Failures of resolution: the name servers' reasons, and messages of theirs that are ignored.

use std::borrow::Cow;
use std::fmt;

/// A failed resolution. Displayed as in nginx's log: `NAME could not be resolved (3: Host not
/// found)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveError {
    /// The name.
    pub name: String,
    /// The reason.
    pub(crate) reason: Reason,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} could not be resolved ({})", self.name, self.reason)
    }
}

impl std::error::Error for ResolveError {}

/// The reason for a failure: a response code (RFC 1035, section 4.1.1), or a system error number if
/// the name servers are silent. Displayed with its number: `3: Host not found`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reason(pub(super) u16);

impl Reason {
    /// The name server could not parse the query.
    pub(super) const FORMAT_ERROR: Self = Self(1);
    /// The name server failed, or too many queries are pending.
    pub(super) const SERVER_FAILURE: Self = Self(2);
    /// No such name.
    pub(crate) const NOT_FOUND: Self = Self(3);
    /// The name server does not support the query.
    const UNIMPLEMENTED: Self = Self(4);
    /// The name server refused the query.
    pub(super) const REFUSED: Self = Self(5);
    /// No response in time: ETIMEDOUT.
    pub(super) const TIMED_OUT: Self = Self(110);
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match *self {
            Self::FORMAT_ERROR => "Format error",
            Self::SERVER_FAILURE => "Server failure",
            Self::NOT_FOUND => "Host not found",
            Self::UNIMPLEMENTED => "Unimplemented",
            Self::REFUSED => "Operation refused",
            Self::TIMED_OUT => "Operation timed out",
            _ => "Unknown error",
        };
        write!(f, "{}: {text}", self.0)
    }
}

/// A message of a name server that is ignored, and why, in nginx's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadMessage(pub(super) Cow<'static, str>);

impl fmt::Display for BadMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&'static str> for BadMessage {
    fn from(text: &'static str) -> Self {
        Self(text.into())
    }
}

impl From<String> for BadMessage {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}
