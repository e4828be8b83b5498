//! The head of a request as it was received: the bytes, and what the parser found in them.

use std::ops::Deref;

use weir_engine::buffer::Buf;
use weir_wire::h1::RequestHead;
use weir_wire::header::Known;

/// A request's head. Derefs to the parser's findings; the methods here read the bytes behind the
/// spans.
#[derive(Default)]
pub struct Head {
    bytes: Buf,
    found: RequestHead,
    /// The target of the request line is no path.
    line_only: bool,
}

impl Deref for Head {
    type Target = RequestHead;

    fn deref(&self) -> &RequestHead {
        &self.found
    }
}

impl Head {
    /// A head from the buffer that was parsed and what was found there.
    pub fn new(bytes: Buf, found: RequestHead) -> Self {
        Self { bytes, found, line_only: false }
    }

    /// Another head in this one's place: its bytes, and `fill` puts in what was found there.
    pub(crate) fn replace(&mut self, bytes: Buf, fill: impl FnOnce(&mut RequestHead)) {
        self.bytes = bytes;
        self.line_only = false;
        fill(&mut self.found);
    }

    /// Keeps the request line, whose target is no path: nginx does not read what follows it. Gives
    /// the bytes that the line has.
    pub(crate) fn keep_line(&mut self) -> usize {
        self.found.keep_line();
        self.line_only = true;
        let end = self.found.line.end as usize;
        let crlf = self.bytes.get(end..).is_some_and(|rest| rest.starts_with(b"\r\n"));
        self.found.line.len() + 1 + usize::from(crlf)
    }

    /// Shows at most so many bytes of the request line.
    pub(crate) fn shorten_line(&mut self, most: usize) {
        let line = &mut self.found.line;
        line.end = line.end.min(line.start.saturating_add(u32::try_from(most).unwrap_or(u32::MAX)));
    }

    /// Whether there is something like a version behind a method and a target that are right.
    pub(crate) fn version_begins(&self) -> bool {
        let mut words = self.request_line().split(|&byte| byte == b' ').filter(|w| !w.is_empty());
        let (method, target) = (words.next().unwrap_or_default(), words.next());
        method.iter().all(|&byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-'))
            && target.is_some_and(|path| path[0] == b'/' && !path.iter().any(u8::is_ascii_control))
            && words.next().is_some_and(|version| version.starts_with(b"H"))
    }

    /// Lets go of the bytes; the memory of the findings stays.
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

    /// The target as it is passed on and shown (`$request_uri`): one with arguments only gets its
    /// slash, and one that leads nowhere is none.
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

    /// The bytes that the spans of the findings point into.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The value of the first line with this name.
    pub fn get(&self, known: Known) -> Option<&[u8]> {
        self.found.get(&self.bytes, known)
    }

    /// The value of the first line with this name, whatever its case.
    pub fn get_name(&self, name: &[u8]) -> Option<&[u8]> {
        match Known::from_name(name) {
            Known::Other => {
                let same = |n: &[u8]| n.eq_ignore_ascii_case(name);
                self.iter().find(|(n, _, _)| same(n)).map(|(_, value, _)| value)
            }
            known => self.get(known),
        }
    }

    /// All lines in order: name, value, what the name is known as.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8], Known)> {
        self.found
            .entries
            .iter()
            .map(|e| (e.name.of(&self.bytes), e.value.of(&self.bytes), e.known))
    }

    /// The normalised path and the arguments.
    ///
    /// # Errors
    /// When the path leaves the root or holds a null byte (400).
    pub fn path(
        &self,
        merge_slashes: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<&[u8]>, weir_wire::uri::InvalidUri> {
        self.found.path(&self.bytes, merge_slashes, out)
    }
}
