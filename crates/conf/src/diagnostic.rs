//! What is wrong with a configuration, said as nginx says it and as a person wants to read it.

mod fault;
mod pretty;

pub use fault::Fault;

use crate::source::{SourceMap, Span};
use std::fmt;

/// nginx cuts a message about a place here, so that the place is always seen.
const MAX_MESSAGE: usize = 1024;

/// nginx's levels, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The configuration cannot be used.
    Emerg,
    /// The configuration cannot be used.
    Alert,
    /// The configuration cannot be used.
    Crit,
    /// The configuration cannot be used.
    Error,
    /// It works, but probably not as meant.
    Warn,
    /// Good to know.
    Notice,
}

impl Severity {
    /// Whether a configuration with such a message is refused.
    pub fn is_fatal(self) -> bool {
        self <= Self::Error
    }

    /// The word in the brackets.
    pub fn name(self) -> &'static str {
        match self {
            Self::Emerg => "emerg",
            Self::Alert => "alert",
            Self::Crit => "crit",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Notice => "notice",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How grave it is.
    pub severity: Severity,
    /// nginx's words, without the place.
    pub message: String,
    /// The directive it is about. nginx names the line of its last byte; none, no place.
    pub span: Option<Span>,
    /// The word to put the caret under, if it is not the whole directive.
    pub word: Option<Span>,
    /// Advice, shown on terminals only.
    pub hint: Option<String>,
    /// What stands beside the caret, on terminals only.
    pub label: Option<String>,
    /// Where the first one stands that this is a duplicate of, on terminals only.
    pub first: Option<Span>,
}

impl Diagnostic {
    /// A message about a place.
    pub fn new(severity: Severity, message: impl Into<String>, span: Option<Span>) -> Self {
        Self {
            severity,
            message: message.into(),
            span,
            word: None,
            hint: None,
            label: None,
            first: None,
        }
    }

    /// `[emerg] MESSAGE in FILE:LINE`, nginx's form.
    pub fn one_line(&self, sources: &SourceMap) -> String {
        let place = self.span.map(|span| sources.place(span)).unwrap_or_default();
        let mut message = self.message.as_str();
        if !place.is_empty() {
            message = &message[..message.floor_char_boundary(MAX_MESSAGE)];
        }
        format!("[{}] {message}{place}", self.severity)
    }

    /// The source line with a caret and the hint, to be shown below the one-line form.
    /// `None` when there is neither a place nor a hint. Ends in a line feed.
    pub fn pretty(&self, sources: &SourceMap, colour: bool) -> Option<String> {
        pretty::render(self, sources, colour)
    }
}
