//! The refusal of a directive by its setter.

use std::fmt;

use super::{Diagnostic, Severity};
use crate::node::Word;
use crate::source::Span;

/// A refusal. Its place is the directive being read, unless it names another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    text: Text,
    severity: Severity,
    word: Option<Span>,
    place: Place,
    hint: Option<String>,
    label: Option<Box<str>>,
    // Boxed to keep `Fault` small, since it is returned by value.
    first: Option<Box<Span>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Text {
    /// The complete message.
    Whole(String),
    /// The text after `"NAME" directive `.
    Directive(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Here,
    At(Span),
    Nowhere,
}

impl Fault {
    /// A complete message.
    pub fn new(message: impl Into<String>) -> Self {
        Self::with(Text::Whole(message.into()))
    }

    /// `"NAME" directive TEXT`, as nginx forms it from a setter's return value.
    pub fn directive(text: impl Into<String>) -> Self {
        Self::with(Text::Directive(text.into()))
    }

    /// `"NAME" directive invalid value`
    pub fn bad_value() -> Self {
        Self::directive("invalid value")
    }

    /// `"NAME" directive is duplicate`
    pub fn duplicate() -> Self {
        Self::directive("is duplicate")
    }

    /// `invalid number of arguments in "NAME" directive`, for setters that count arguments
    /// themselves.
    pub fn bad_count(name: &Word) -> Self {
        Self::new(format!("invalid number of arguments in \"{}\" directive", name.text()))
    }

    /// `invalid value "WORD"`, the caret under the word.
    pub fn invalid(word: &Word) -> Self {
        Self::new(format!("invalid value \"{}\"", word.shown())).at(word)
    }

    /// `invalid parameter "WORD"`, the caret under the word.
    pub fn parameter(word: &Word) -> Self {
        Self::new(format!("invalid parameter \"{}\"", word.shown())).at(word)
    }

    fn with(text: Text) -> Self {
        let severity = Severity::Emerg;
        Self {
            text,
            severity,
            word: None,
            place: Place::Here,
            hint: None,
            label: None,
            first: None,
        }
    }

    /// Puts the caret under a word. The one-line form keeps the directive's line.
    #[must_use]
    pub fn at(mut self, word: &Word) -> Self {
        self.word = Some(word.span);
        self
    }

    /// Puts the caret under any place. The one-line form keeps the directive's line.
    #[must_use]
    pub fn caret(mut self, span: Span) -> Self {
        self.word = Some(span);
        self
    }

    /// Moves the message to another place, for faults found at the end of a block.
    #[must_use]
    pub fn in_place(mut self, span: Span) -> Self {
        self.place = Place::At(span);
        self
    }

    /// Omits ` in FILE:LINE`, as nginx does for faults it finds after parsing.
    #[must_use]
    pub fn nowhere(mut self) -> Self {
        self.place = Place::Nowhere;
        self
    }

    /// Sets a level other than `[emerg]`.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Adds advice for terminals.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts the caret there unless it has a place.
    #[must_use]
    pub fn caret_at_least(mut self, span: Option<Span>) -> Self {
        self.word = self.word.or(span);
        self
    }

    /// Shows the first of two duplicates.
    #[must_use]
    pub fn first(mut self, span: Span) -> Self {
        self.first = Some(Box::new(span));
        self
    }

    /// Adds text beside the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into().into_boxed_str());
        self
    }

    /// The message, for a directive of that name.
    pub fn message(&self, name: &str) -> String {
        match &self.text {
            Text::Whole(text) => text.clone(),
            Text::Directive(text) => format!("\"{name}\" directive {text}"),
        }
    }

    /// The diagnostic, for a directive of that name at `here`.
    pub fn diagnose(self, name: &str, here: Option<Span>) -> Diagnostic {
        let span = match self.place {
            Place::Here => here,
            Place::At(span) => Some(span),
            Place::Nowhere => None,
        };
        Diagnostic {
            severity: self.severity,
            message: self.message(name),
            span,
            word: self.word,
            hint: self.hint,
            label: self.label.map(String::from),
            first: self.first.map(|span| *span),
        }
    }
}

/// The message without the name of the directive.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Text::Whole(text) => f.write_str(text),
            Text::Directive(text) => write!(f, "directive {text}"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl From<&str> for Fault {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}
