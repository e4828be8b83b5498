//! What the parser gives: directives as a tree of words.

use crate::source::Span;
use std::borrow::Cow;

/// One word of a directive, with its quotes and escapes resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// The bytes nginx would see.
    pub value: Vec<u8>,
    /// Where it is written, quotes included.
    pub span: Span,
    /// Whether it stood in single or double quotes.
    pub quoted: bool,
}

impl Word {
    /// The word as text; bytes that are no UTF-8 are replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.value)
    }

    /// The word as nginx prints it in messages: up to a NUL, should there be one.
    pub fn shown(&self) -> Cow<'_, str> {
        let end = memchr::memchr(0, &self.value).unwrap_or(self.value.len());
        String::from_utf8_lossy(&self.value[..end])
    }

    /// The word as text if it is UTF-8.
    pub fn str(&self) -> Option<&str> {
        std::str::from_utf8(&self.value).ok()
    }

    /// Whether the word is exactly `text`.
    pub fn is(&self, text: &str) -> bool {
        self.value == text.as_bytes()
    }

    /// What follows `prefix` if the word starts with it, as in `weight=5`.
    pub fn after(&self, prefix: &str) -> Option<&[u8]> {
        self.value.strip_prefix(prefix.as_bytes())
    }
}

impl PartialEq<str> for Word {
    fn eq(&self, other: &str) -> bool {
        self.is(other)
    }
}

/// A directive: its name, its arguments and, if it ended in `{`, its content.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// The first word.
    pub name: Word,
    /// The other words.
    pub args: Vec<Word>,
    /// The directives between `{` and `}`.
    pub block: Option<Vec<Self>>,
    /// From the name to the `;` or `{`, inclusive.
    pub span: Span,
    /// The closing `}` (or the end of the file when it is missing).
    pub close: Span,
    /// When the parser met the end of the head, on the clock that its faults carry too.
    pub(crate) order: u32,
    /// When the parser met the closing `}`.
    pub(crate) close_order: u32,
}

impl Node {
    /// The argument of that number, from 0.
    pub fn arg(&self, number: usize) -> Option<&Word> {
        self.args.get(number)
    }

    /// The name as text.
    pub fn text(&self) -> Cow<'_, str> {
        self.name.text()
    }

    /// Name and arguments, as nginx counts them: `word(0)` is the name.
    pub fn words(&self) -> impl Iterator<Item = &Word> {
        std::iter::once(&self.name).chain(&self.args)
    }
}
