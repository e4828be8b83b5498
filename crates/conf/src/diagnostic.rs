//! Messages about a configuration, in nginx's one-line form and in a form for terminals.

mod fault;
mod pretty;

pub use fault::Fault;

use crate::source::{SourceMap, Span};
use std::fmt;

/// nginx cuts messages at this length, so that their place always shows.
const MAX_MESSAGE: usize = 1024;

/// nginx's levels, most severe first.
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
    /// The configuration works, but probably not as intended.
    Warn,
    /// Information.
    Notice,
}

impl Severity {
    /// Whether a message of this level makes the configuration unusable.
    pub fn is_fatal(self) -> bool {
        self <= Self::Error
    }

    /// The level's name, as in the brackets.
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
    /// Its level.
    pub severity: Severity,
    /// nginx's wording, without the place.
    pub message: String,
    /// The directive it is about. nginx names the line of the span's last byte; `None` omits the
    /// place.
    pub span: Option<Span>,
    /// The word under the caret, if it is not the whole directive.
    pub word: Option<Span>,
    /// Advice, for terminals only.
    pub hint: Option<String>,
    /// The text beside the caret, for terminals only.
    pub label: Option<String>,
    /// The first of two duplicates, for terminals only.
    pub first: Option<Span>,
}

impl Diagnostic {
    /// A message with a place.
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

    /// The source line with a caret and the hint, for display below the one-line form. `None`
    /// without a place or a hint. Ends in a line feed.
    pub fn pretty(&self, sources: &SourceMap, colour: bool) -> Option<String> {
        pretty::render(self, sources, colour)
    }
}
