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
        Self { bytes, found }
    }

    /// Another head in this one's place: its bytes, and `fill` puts in what was found there.
    pub(crate) fn replace(&mut self, bytes: Buf, fill: impl FnOnce(&mut RequestHead)) {
        self.bytes = bytes;
        fill(&mut self.found);
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
    /// slash.
    pub fn unparsed_uri(&self) -> std::borrow::Cow<'_, [u8]> {
        match self.found.empty_path {
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
