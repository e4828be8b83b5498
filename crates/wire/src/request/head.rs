//! Parsed request heads.

use super::framing::Framing;
use super::method::{Method, Version};
use crate::header::{Entry, Known, Seen, Span};
use crate::uri::{InvalidUri, Scan, normalise};

/// The option in a request's `Connection`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Connection {
    /// No option: HTTP/1.1 stays open, older versions close.
    #[default]
    Unsaid,
    /// `close`.
    Close,
    /// `keep-alive`.
    KeepAlive,
}

impl Connection {
    /// The option in a value; `close` wins, other words are ignored.
    #[inline]
    pub fn of(value: &[u8]) -> Self {
        match value {
            b"keep-alive" | b"Keep-Alive" => Self::KeepAlive,
            b"close" => Self::Close,
            _ if contains_word(value, b"close") => Self::Close,
            _ if contains_word(value, b"keep-alive") => Self::KeepAlive,
            _ => Self::Unsaid,
        }
    }
}

/// A request's head. Spans point into the parser's input.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The method as sent.
    pub method_text: Span,
    /// The request line without its line end.
    pub line: Span,
    /// The target as sent, without scheme and host; `/` if there is only a host.
    pub target: Span,
    /// Whether no table of header compression may keep the target.
    pub target_never_indexed: bool,
    /// The scan of the target.
    pub scan: Scan,
    /// Whether the target was absolute and had no path, only arguments.
    pub empty_path: bool,
    /// The scheme of an absolute target, else empty.
    pub scheme: Span,
    /// The version as sent; empty in HTTP/0.9.
    pub protocol: Span,
    /// The version.
    pub version: Version,
    /// The protocol that an extended CONNECT asks for (`:protocol`, RFC 8441), else empty.
    pub connect_protocol: Span,
    /// The host in lower case, without port and trailing dot: that of an absolute target, else of
    /// `Host`. Empty if there is none, which is allowed up to HTTP/1.0.
    pub host: Vec<u8>,
    /// The port after the host; 0 if there is none.
    pub port: u16,
    /// The accepted header lines, in order.
    pub entries: Vec<Entry>,
    /// The ids of the entries.
    pub(crate) seen: Seen,
    /// Lines dropped because of invalid names, for the log.
    pub skipped: Vec<Span>,
    /// The body's framing.
    pub framing: Framing,
    /// The option in `Connection`.
    pub connection: Connection,
    /// The length of the head in bytes, without leading blank lines: its share of
    /// `$request_length`.
    pub length: usize,
}

impl RequestHead {
    /// Clears the head except the request line.
    pub fn keep_line(&mut self) {
        let old = std::mem::take(self);
        let Self { method, method_text, line, target, scan, protocol, version, .. } = old;
        *self =
            Self { method, method_text, line, target, scan, protocol, version, ..Self::default() };
    }

    /// Sets the value of the lines for which `is_meant` holds: the first is changed, the others are
    /// removed; `None` removes all. Returns whether there was one. Neither [`Self::framing`] nor
    /// what was read from the host and the connection follows.
    pub fn set_where(
        &mut self,
        mut value: Option<Span>,
        is_meant: impl Fn(&Entry) -> bool,
    ) -> bool {
        let mut found = false;
        self.entries.retain_mut(|entry| {
            if !is_meant(entry) {
                return true;
            }
            found = true;
            value.take().is_some_and(|value| {
                entry.value = value;
                true
            })
        });
        found
    }

    /// Adds a line, with the reservations of [`Self::set_where`].
    pub fn push(&mut self, entry: Entry) {
        self.seen.insert(entry.known);
        self.entries.push(entry);
    }

    /// The value of the first line with this id.
    #[inline]
    pub fn get<'a>(&self, buf: &'a [u8], known: Known) -> Option<&'a [u8]> {
        if !self.seen.contains(known) {
            return None;
        }
        self.entries.iter().find(|entry| entry.known == known).map(|entry| entry.value.of(buf))
    }

    /// Appends the path for location matching to `out` and returns the arguments.
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
        self.connect_protocol = Span::default();
        (self.target, self.scan, self.scheme, self.empty_path) = Default::default();
        self.target_never_indexed = false;
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

/// Whether `text` contains `word` (in lower case), ignoring case.
fn contains_word(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}
