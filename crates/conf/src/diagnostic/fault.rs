//! What a setter returns when it refuses a directive.

use super::{Diagnostic, Severity};
use crate::node::Word;
use crate::source::Span;

/// A refusal. The place is the directive being read, unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    text: Text,
    severity: Severity,
    word: Option<Span>,
    place: Place,
    hint: Option<String>,
    label: Option<Box<str>>,
    // In a box, since faults are returned by value.
    first: Option<Box<Span>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Text {
    /// The message as it is.
    Whole(String),
    /// What follows `"NAME" directive `.
    Directive(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Here,
    At(Span),
    Nowhere,
}

impl Fault {
    /// A message in full.
    pub fn new(message: impl Into<String>) -> Self {
        Self::with(Text::Whole(message.into()))
    }

    /// `"NAME" directive TEXT`, as nginx forms it from what a setter returns.
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

    /// `invalid number of arguments in "NAME" directive`, for setters that count themselves.
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

    /// Puts the caret under a word. The line in nginx's form stays the directive's.
    #[must_use]
    pub fn at(mut self, word: &Word) -> Self {
        self.word = Some(word.span);
        self
    }

    /// Puts the caret under any place. The line in nginx's form stays the directive's.
    #[must_use]
    pub fn caret(mut self, span: Span) -> Self {
        self.word = Some(span);
        self
    }

    /// Puts the message at another place, as with faults found at the end of a block.
    #[must_use]
    pub fn in_place(mut self, span: Span) -> Self {
        self.place = Place::At(span);
        self
    }

    /// The message has no ` in FILE:LINE`, as with what nginx finds after the parsing.
    #[must_use]
    pub fn nowhere(mut self) -> Self {
        self.place = Place::Nowhere;
        self
    }

    /// Another level than `[emerg]`.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Advice for people at a terminal.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts the caret there if it has no place yet.
    #[must_use]
    pub fn caret_at_least(mut self, span: Option<Span>) -> Self {
        self.word = self.word.or(span);
        self
    }

    /// Shows the first one, of which this is a duplicate.
    #[must_use]
    pub fn first(mut self, span: Span) -> Self {
        self.first = Some(Box::new(span));
        self
    }

    /// Words beside the caret.
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

    /// The message at its place, for a directive of that name at `here`.
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
