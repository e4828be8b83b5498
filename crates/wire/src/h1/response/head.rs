//! Parsed response heads.

use crate::header::{Entry, Known, Span};
use crate::request::{Framing, Version};

/// A response's head. Spans point into the parser's input.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// The version.
    pub version: Version,
    /// The status.
    pub status: u16,
    /// Status and reason as sent (`200 OK`), which nginx passes on.
    pub status_line: Span,
    /// The accepted header lines, in order.
    pub entries: Vec<Entry>,
    /// Repeated lines of fields whose first line counts, for a warning in the log.
    pub duplicates: Vec<Entry>,
    /// `Content-Length`.
    pub content_length: Option<u64>,
    /// Whether the body is chunked.
    pub chunked: bool,
    /// Whether the connection cannot be reused: `Connection: close`, or a version before 1.1.
    pub close: bool,
}

impl ResponseHead {
    /// The value of the first line with this id.
    pub fn get<'a>(&self, buf: &'a [u8], known: Known) -> Option<&'a [u8]> {
        self.entries.iter().find(|entry| entry.known == known).map(|entry| entry.value.of(buf))
    }

    /// Whether another head follows (1xx except 101).
    pub fn is_interim(&self) -> bool {
        self.status / 100 == 1 && self.status != 101
    }

    /// The body's framing (RFC 9112 section 6.3). `head`: the request's method was HEAD.
    pub fn framing(&self, head: bool) -> Framing {
        if head || self.status / 100 == 1 || self.status == 204 || self.status == 304 {
            Framing::None
        } else if self.chunked {
            Framing::Chunked
        } else {
            self.content_length.map_or(Framing::UntilClose, Framing::Length)
        }
    }

    pub(super) fn clear(&mut self) {
        (self.version, self.status, self.status_line) = Default::default();
        self.entries.clear();
        self.duplicates.clear();
        self.content_length = None;
        (self.chunked, self.close) = (false, false);
    }
}
