//! What a request's head says.

use super::framing::Framing;
use super::method::{Method, Version};
use crate::header::{Entry, Known, Seen, Span};
use crate::uri::{InvalidUri, Scan, normalise};

/// What `Connection` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Connection {
    /// Nothing: HTTP/1.1 stays open, older versions close.
    #[default]
    Unsaid,
    /// `close`.
    Close,
    /// `keep-alive`.
    KeepAlive,
}

impl Connection {
    /// What a value says; `close` wins, and other words are not looked at.
    #[inline]
    pub(crate) fn of(value: &[u8]) -> Self {
        match value {
            b"keep-alive" | b"Keep-Alive" => Self::KeepAlive,
            b"close" => Self::Close,
            _ if contains_word(value, b"close") => Self::Close,
            _ if contains_word(value, b"keep-alive") => Self::KeepAlive,
            _ => Self::Unsaid,
        }
    }
}

/// A request's head. Spans point into the buffer that the parser was given.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// The method, if it is one that is known.
    pub method: Method,
    /// The method as sent.
    pub method_text: Span,
    /// The whole request line without its end.
    pub line: Span,
    /// The target as sent, without scheme and host; `/` when there is only a host.
    pub target: Span,
    /// What the parser saw in the target.
    pub scan: Scan,
    /// The target was absolute and had no path, only arguments.
    pub empty_path: bool,
    /// The scheme of an absolute target; else empty.
    pub scheme: Span,
    /// The version as sent; empty in HTTP/0.9.
    pub protocol: Span,
    /// The version as a number.
    pub version: Version,
    /// The host in lower case without port and trailing dot: of an absolute target, else of `Host`.
    /// Empty when neither is there, which only HTTP/1.0 and older may do.
    pub host: Vec<u8>,
    /// The port that came with it; 0 when there was none.
    pub port: u16,
    /// The header lines that count, in order.
    pub entries: Vec<Entry>,
    /// The ids among them.
    pub(crate) seen: Seen,
    /// Lines left out because their names are invalid, for the log.
    pub skipped: Vec<Span>,
    /// How the body ends.
    pub framing: Framing,
    /// What `Connection` asks for.
    pub connection: Connection,
    /// Bytes of the head without blank lines before it: the head's share of `$request_length`.
    pub length: usize,
}

impl RequestHead {
    /// Forgets everything but the request line.
    pub fn keep_line(&mut self) {
        let old = std::mem::take(self);
        let Self { method, method_text, line, target, scan, protocol, version, .. } = old;
        *self =
            Self { method, method_text, line, target, scan, protocol, version, ..Self::default() };
    }

    /// The value of the first line of this id.
    #[inline]
    pub fn get<'a>(&self, buf: &'a [u8], known: Known) -> Option<&'a [u8]> {
        if !self.seen.contains(known) {
            return None;
        }
        self.entries.iter().find(|entry| entry.known == known).map(|entry| entry.value.of(buf))
    }

    /// Appends the path that locations are matched with to `out` and returns the arguments.
    pub fn path<'a>(
        &self,
        buf: &'a [u8],
        merge_slashes: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<&'a [u8]>, InvalidUri> {
        let target = self.target.of(buf);
        if self.scan.needs_normalising() {
            let found = normalise(target, merge_slashes, out)?;
            return Ok(found.args.map(|args| &target[args]));
        }
        let (path, args) = match self.scan.args() {
            Some(at) => {
                let at = at - self.target.start as usize;
                (&target[..at - 1], Some(&target[at..]))
            }
            None => (target, None),
        };
        out.extend_from_slice(path);
        Ok(args)
    }

    pub(super) fn clear(&mut self) {
        (self.method, self.version) = (Method::Other, Version::default());
        (self.method_text, self.line, self.protocol) = Default::default();
        (self.target, self.scan, self.scheme, self.empty_path) = Default::default();
        self.host.clear();
        self.entries.clear();
        self.skipped.clear();
        self.port = 0;
        self.framing = Framing::None;
        self.seen = Seen::default();
        self.connection = Connection::Unsaid;
        self.length = 0;
    }
}

/// Whether `text` has `word` (in lower case) somewhere, whatever its case.
fn contains_word(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}
