//! The output of the parser: a tree of directives, made of words.

use crate::source::Span;
use std::borrow::Cow;

/// A word of a directive, with quotes and escapes resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// Its bytes, as nginx sees them.
    pub value: Vec<u8>,
    /// Its place, quotes included.
    pub span: Span,
    /// Whether it was in single or double quotes.
    pub quoted: bool,
}

impl Word {
    /// The word as text; invalid UTF-8 is replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.value)
    }

    /// The word as nginx prints it in messages: up to the first NUL.
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

    /// The rest of the word after `prefix`, as in `weight=5`; `None` if it does not start with it.
    pub fn after(&self, prefix: &str) -> Option<&[u8]> {
        self.value.strip_prefix(prefix.as_bytes())
    }
}

impl PartialEq<str> for Word {
    fn eq(&self, other: &str) -> bool {
        self.is(other)
    }
}

/// A directive: its name, its arguments and, if it ends in `{`, its content.
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
    /// The time of the end of the head, on the clock that is shared with the faults.
    pub(crate) order: u32,
    /// The time of the closing `}`.
    pub(crate) close_order: u32,
}

impl Node {
    /// The argument at that index, from 0.
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
