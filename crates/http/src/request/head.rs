//! The head of a request as received: its bytes and the parser's results.

use std::ops::Deref;

use weir_engine::buffer::{self, Buf};
use weir_wire::h1::{Method, RequestHead};
use weir_wire::header::{Entry, Known, Span};
use weir_wire::request::Connection;

/// The head of a request. It derefs to the parser's results; the methods resolve their spans.
#[derive(Default)]
pub struct Head {
    bytes: Buf,
    found: RequestHead,
    /// Whether the target in the request line is not a path.
    line_only: bool,
}

impl Clone for Head {
    fn clone(&self) -> Self {
        let mut bytes = buffer::take(self.bytes.len());
        bytes.extend_from_slice(&self.bytes);
        Self { bytes, found: self.found.clone(), line_only: self.line_only }
    }
}

impl Deref for Head {
    type Target = RequestHead;

    fn deref(&self) -> &RequestHead {
        &self.found
    }
}

impl Head {
    /// A head from a parsed buffer and the parser's results.
    pub fn new(bytes: Buf, found: RequestHead) -> Self {
        Self { bytes, found, line_only: false }
    }

    /// Replaces the head in place: sets the bytes, and has `fill` write the parser's results.
    pub(crate) fn replace(&mut self, bytes: Buf, fill: impl FnOnce(&mut RequestHead)) {
        self.bytes = bytes;
        self.line_only = false;
        fill(&mut self.found);
    }

    /// Keeps only the request line, whose target is not a path. nginx does not read the rest.
    /// Returns the length of the line with its end.
    pub(crate) fn keep_line(&mut self) -> usize {
        self.found.keep_line();
        self.line_only = true;
        let end = self.found.line.end as usize;
        let crlf = self.bytes.get(end..).is_some_and(|rest| rest.starts_with(b"\r\n"));
        self.found.line.len() + 1 + usize::from(crlf)
    }

    /// Truncates the request line to `most` bytes.
    pub(crate) fn shorten_line(&mut self, most: usize) {
        let line = &mut self.found.line;
        line.end = line.end.min(line.start.saturating_add(u32::try_from(most).unwrap_or(u32::MAX)));
    }

    /// Whether a version seems to follow a valid method and target.
    pub(crate) fn version_begins(&self) -> bool {
        let mut words = self.request_line().split(|&byte| byte == b' ').filter(|w| !w.is_empty());
        let (method, target) = (words.next().unwrap_or_default(), words.next());
        method.iter().all(|&byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-'))
            && target.is_some_and(|path| path[0] == b'/' && !path.iter().any(u8::is_ascii_control))
            && words.next().is_some_and(|version| version.starts_with(b"H"))
    }

    /// Releases the bytes, but keeps the memory of the parser's results.
    pub(crate) fn forget(&mut self) {
        self.bytes = Buf::default();
    }

    /// The request line without its end (`$request`).
    pub fn request_line(&self) -> &[u8] {
        self.found.line.of(&self.bytes)
    }

    /// The method as sent (`$request_method`).
    pub fn method_text(&self) -> &[u8] {
        self.found.method_text.of(&self.bytes)
    }

    /// The target as sent, without scheme and host (`$request_uri`).
    pub fn target(&self) -> &[u8] {
        self.found.target.of(&self.bytes)
    }

    /// The target as passed on and shown (`$request_uri`): a slash is added before lone arguments,
    /// and a target that is not a path is empty.
    pub fn unparsed_uri(&self) -> std::borrow::Cow<'_, [u8]> {
        match self.found.empty_path {
            _ if self.line_only => [].as_slice().into(),
            true => [b"/", self.target()].concat().into(),
            false => self.target().into(),
        }
    }

    /// The version as sent (`$server_protocol`); empty in HTTP/0.9.
    pub fn protocol(&self) -> &[u8] {
        self.found.protocol.of(&self.bytes)
    }

    /// The bytes of the head, which the spans refer to.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The value of the first field with this name.
    pub fn get(&self, known: Known) -> Option<&[u8]> {
        self.found.get(&self.bytes, known)
    }

    /// The value of the first field with this name, ignoring case.
    pub fn get_name(&self, name: &[u8]) -> Option<&[u8]> {
        match Known::from_name(name) {
            Known::Other => {
                let same = |n: &[u8]| n.eq_ignore_ascii_case(name);
                self.iter().find(|(n, _, _)| same(n)).map(|(_, value, _)| value)
            }
            known => self.get(known),
        }
    }

    /// All fields in order: name, value and known name.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8], Known)> {
        self.found
            .entries
            .iter()
            .map(|e| (e.name.of(&self.bytes), e.value.of(&self.bytes), e.known))
    }

    /// Sets the value of the fields for which `is_meant(name, id)` holds: the first is changed, the
    /// others are removed; `None` removes all. Returns whether there was one. The host and the
    /// option of `Connection` do not follow, and the framing of the body never does.
    pub(crate) fn set_where(
        &mut self,
        value: Option<&[u8]>,
        is_meant: impl Fn(&[u8], Known) -> bool,
    ) -> bool {
        let value = value.map(|value| self.store(value));
        let (bytes, found) = (&self.bytes, &mut self.found);
        found.set_where(value, |entry| is_meant(entry.name.of(bytes), entry.known))
    }

    /// Adds a field, with the reservations of [`Self::set_where`].
    pub(crate) fn push(&mut self, name: &[u8], value: &[u8]) {
        let known = Known::from_name(name);
        let (name, value) = (self.store(name), self.store(value));
        self.found.push(Entry { name, value, known, never_indexed: false });
    }

    /// Makes an extended CONNECT (RFC 8441) the request that asks for WebSocket in HTTP/1.1: `GET`,
    /// with `Connection`, `Upgrade` and this key, without which HTTP/2 does (RFC 6455 section 4.1).
    pub(crate) fn become_upgrade(&mut self, key: &[u8]) {
        let line = [b"GET ", self.target(), b" ", self.protocol()].concat();
        let protocol = self.found.connect_protocol.of(&self.bytes).to_vec();
        self.found.line = self.store(&line);
        self.found.method = Method::Get;
        let start = self.found.line.start as usize;
        self.found.method_text = Span::new(start, start + b"GET".len());
        self.push(b"connection", b"Upgrade");
        self.push(b"upgrade", &protocol);
        if self.get(Known::SecWebSocketKey).is_none() {
            self.push(b"sec-websocket-key", key);
        }
    }

    /// The protocol that an extended CONNECT asks for; empty if it is none.
    pub(crate) fn connect_protocol(&self) -> &[u8] {
        self.found.connect_protocol.of(&self.bytes)
    }

    /// Sets the host, in lower case, and the port; both are empty if there is none.
    pub(crate) fn set_host(&mut self, host: Vec<u8>, port: u16) {
        (self.found.host, self.found.port) = (host, port);
    }

    /// Sets the option of `Connection`.
    pub(crate) fn set_connection(&mut self, connection: Connection) {
        self.found.connection = connection;
    }

    /// Appends bytes for a field.
    fn store(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Span::new(start, self.bytes.len())
    }

    /// The normalised path and the arguments.
    ///
    /// # Errors
    /// The path leaves the root or has a null byte (400).
    pub fn path(
        &self,
        merge_slashes: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<&[u8]>, weir_wire::uri::InvalidUri> {
        self.found.path(&self.bytes, merge_slashes, out)
    }
}

#[cfg(test)]
mod tests {
    use weir_wire::field_block::FieldBlock;
    use weir_wire::request::{Limits, RequestFields, Version};

    use super::*;

    #[test]
    fn an_extended_connect_becomes_an_upgrade() {
        let (mut fields, mut block) = (RequestFields::new(Version::HTTP_2), FieldBlock::default());
        fields.allow_extended_connect();
        for (name, value) in [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":path", "/chat?x=y"),
            (":authority", "a.test"),
            ("sec-websocket-version", "13"),
        ] {
            block.push(name.as_bytes(), value.as_bytes());
        }
        let mut text = buffer::take(100);
        fields.build(&mut block, &mut text, &Limits::default(), false, |_| None).unwrap();
        let mut head = Head::default();
        head.replace(text, |found| fields.swap_head(found));
        assert_eq!(head.connect_protocol(), b"websocket");
        head.become_upgrade(b"key");
        assert_eq!(head.request_line(), b"GET /chat?x=y HTTP/2.0");
        assert_eq!((head.method, head.method_text()), (Method::Get, &b"GET"[..]));
        assert_eq!((head.target(), head.protocol()), (&b"/chat?x=y"[..], &b"HTTP/2.0"[..]));
        for (known, value) in [
            (Known::Upgrade, "websocket"),
            (Known::Connection, "Upgrade"),
            (Known::SecWebSocketKey, "key"),
            (Known::Host, "a.test"),
        ] {
            assert_eq!(head.get(known), Some(value.as_bytes()));
        }
    }
}
