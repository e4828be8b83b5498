//! Heads as lists of fields, as in HTTP/2 and HTTP/3.

use super::builder::Builder;
use super::error::{Pseudo, PseudoFault, RequestError, RequestFault};
use super::framing::{Framing, parse_length};
use super::head::RequestHead;
use super::limits::Limits;
use super::method::{Method, Version};
use crate::header::{Entry, Known, Span, is_clean_value};
use crate::uri::Scan;

/// Builds a head from fields, pseudo-fields first (RFC 9113 section 8.3, RFC 9114 section 4.3).
///
/// The head's spans point into a buffer of the caller's, empty at first, that must be the same in
/// all calls. It holds a request line in HTTP/1 form, for logs and variables, and the fields as
/// lines. Cookies from several fields are joined (RFC 9113 section 8.2.3).
///
/// ```
/// use weir_wire::request::{Limits, RequestFields, Version};
/// let (mut fields, mut text) = (RequestFields::new(Version::HTTP_2), Vec::new());
/// for (name, value) in [(":method", "GET"), (":scheme", "https"), (":authority", "a.test"),
///     (":path", "/x?y"), ("accept", "*/*")] {
///     fields.push(&mut text, name.as_bytes(), value.as_bytes(), &Limits::default(), |_| None)?;
/// }
/// fields.finish(&mut text, &Limits::default(), true, |_| None)?;
/// let head = fields.take_head();
/// assert_eq!(head.line.of(&text), b"GET /x?y HTTP/2.0");
/// assert_eq!((&head.host[..], head.target.of(&text)), (&b"a.test"[..], &b"/x?y"[..]));
/// # Ok::<(), weir_wire::request::RequestError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RequestFields {
    builder: Builder,
    version: Version,
    /// The values of the pseudo-fields, in the order of [`Pseudo`].
    pseudo: [Option<Span>; 4],
    /// Whether the pseudo-fields are complete.
    begun: bool,
    cookie: Vec<u8>,
    /// The size of names and values in bytes.
    size: usize,
}

impl RequestFields {
    /// A head of this version without fields.
    pub fn new(version: Version) -> Self {
        Self {
            builder: Builder::default(),
            version,
            pseudo: [None; 4],
            begun: false,
            cookie: Vec::new(),
            size: 0,
        }
    }

    /// The head so far.
    pub fn head(&self) -> &RequestHead {
        &self.builder.head
    }

    /// The head by value.
    pub fn take_head(&mut self) -> RequestHead {
        std::mem::take(&mut self.builder.head)
    }

    /// Adds a field. When the host becomes known, `choose` may return the limits of its server,
    /// which apply to the following fields.
    ///
    /// # Errors
    /// The refusal of the head; spans point into `text`.
    pub fn push(
        &mut self,
        text: &mut Vec<u8>,
        name: &[u8],
        value: &[u8],
        limits: &Limits,
        mut choose: impl FnMut(&[u8]) -> Option<Limits>,
    ) -> Result<(), RequestError> {
        let rules = self.builder.rules(limits);
        self.size += name.len() + value.len();
        if self.size > rules.large_buffers as usize * rules.large_buffer_size as usize {
            return Err(RequestError::new(RequestFault::LargeFields));
        }
        if name.first() == Some(&b':') {
            return self.pseudo(text, &name[1..], value, &mut choose);
        }
        self.begin(text)?;
        let entry = write(text, name, value);
        let error = |fault, span| Err(RequestError { fault, span });
        let named = match judge(name) {
            Name::Refused => return error(RequestFault::FieldName, entry.name),
            Name::Good => true,
            Name::Underscored => rules.underscores,
            Name::Odd => false,
        };
        if !is_clean_value(value) {
            return error(RequestFault::FieldValue { entry }, entry.value);
        }
        if !named && rules.ignore_invalid {
            self.builder.head.skipped.push(entry.name);
            return Ok(());
        }
        if entry.known == Known::Cookie {
            if !self.cookie.is_empty() {
                self.cookie.extend_from_slice(b"; ");
            }
            self.cookie.extend_from_slice(value);
            return Ok(());
        }
        self.builder.field(entry, text, limits, &mut choose)
    }

    /// Completes the head; `ended` means that no body follows.
    ///
    /// # Errors
    /// As [`RequestFields::push`].
    pub fn finish(
        &mut self,
        text: &mut Vec<u8>,
        limits: &Limits,
        ended: bool,
        mut choose: impl FnMut(&[u8]) -> Option<Limits>,
    ) -> Result<(), RequestError> {
        self.begin(text)?;
        if !self.cookie.is_empty() {
            let entry = write(text, b"cookie", &self.cookie);
            self.builder.field(entry, text, limits, &mut choose)?;
        }
        self.refuse_hop_fields(text)?;
        self.settle_host(text, limits, &mut choose)?;
        let builder = &mut self.builder;
        builder.finish(limits, |head| match (head.get(text, Known::ContentLength), ended) {
            (None, true) => Ok(Framing::None),
            (None, false) => Ok(Framing::Chunked),
            (Some(length), _) => match parse_length(length) {
                // The stream ended before its announced body.
                Some(1..) if ended => Err(RequestError::new(RequestFault::EarlyEnd)),
                Some(length) => Ok(Framing::Length(length)),
                None => Err(RequestError::new(RequestFault::ContentLength)),
            },
        })?;
        builder.head.length = text.len();
        Ok(())
    }

    fn pseudo(
        &mut self,
        text: &mut Vec<u8>,
        name: &[u8],
        value: &[u8],
        choose: &mut impl FnMut(&[u8]) -> Option<Limits>,
    ) -> Result<(), RequestError> {
        if self.begun {
            return Err(RequestError::new(RequestFault::PseudoOrder));
        }
        let Some(field) = Pseudo::from_name(name) else {
            let span = store(text, name);
            return Err(RequestError { fault: RequestFault::PseudoUnknown, span });
        };
        let span = store(text, value);
        let place = &mut self.pseudo[field as usize];
        let wrong = match field {
            _ if place.is_some() => Some(PseudoFault::Duplicate),
            Pseudo::Authority => None,
            _ if value.is_empty() => Some(PseudoFault::Empty),
            Pseudo::Method if !is_method(value) => Some(PseudoFault::Invalid),
            Pseudo::Scheme if !is_scheme(value) => Some(PseudoFault::Invalid),
            Pseudo::Path if Scan::of(value).is_err() => Some(PseudoFault::Invalid),
            _ => None,
        };
        if let Some(wrong) = wrong {
            return Err(RequestError { fault: RequestFault::Pseudo { field, wrong }, span });
        }
        *place = Some(span);
        if field == Pseudo::Authority {
            let fault = RequestFault::Pseudo { field, wrong: PseudoFault::Invalid };
            return self.builder.authority(span, text, fault, choose);
        }
        Ok(())
    }

    /// Writes the request line that the pseudo-fields make up.
    fn begin(&mut self, text: &mut Vec<u8>) -> Result<(), RequestError> {
        if self.begun {
            return Ok(());
        }
        self.begun = true;
        let [method, scheme, _, path] = self.pseudo;
        let missing = |field| {
            let wrong = PseudoFault::Missing;
            RequestError::new(RequestFault::Pseudo { field, wrong })
        };
        let method = method.ok_or(missing(Pseudo::Method))?;
        let scheme = scheme.ok_or(missing(Pseudo::Scheme))?;
        let path = path.ok_or(missing(Pseudo::Path))?;
        let start = text.len();
        text.extend_from_within(method.range());
        let method_text = Span::new(start, text.len());
        text.push(b' ');
        let from = text.len();
        text.extend_from_within(path.range());
        let target = Span::new(from, text.len());
        text.push(b' ');
        let from = text.len();
        let Version(version) = self.version;
        text.extend_from_slice(b"HTTP/");
        text.extend_from_slice(&[b'0' + (version / 1000) as u8, b'.', b'0' + (version % 10) as u8]);
        let head = &mut self.builder.head;
        head.protocol = Span::new(from, text.len());
        head.line = Span::new(start, text.len());
        text.extend_from_slice(b"\r\n");
        head.method = Method::from_bytes(method_text.of(text));
        (head.method_text, head.target, head.scheme) = (method_text, target, scheme);
        head.version = self.version;
        let mut scan = Scan::default();
        scan.feed(&text[..target.end as usize], target.start as usize + 1);
        head.scan = scan;
        Ok(())
    }

    /// Refuses the connection-specific fields of HTTP/1.
    fn refuse_hop_fields(&self, text: &[u8]) -> Result<(), RequestError> {
        let head = &self.builder.head;
        for known in [Known::Connection, Known::KeepAlive, Known::TransferEncoding, Known::Upgrade]
        {
            if head.seen.contains(known) {
                return Err(RequestError::new(RequestFault::HopField { known }));
            }
        }
        let mut te = head.entries.iter().filter(|entry| entry.known == Known::Te);
        let trailers = |entry: &Entry| entry.value.of(text).eq_ignore_ascii_case(b"trailers");
        match (te.next(), te.next()) {
            (None, _) => Ok(()),
            (Some(entry), None) if trailers(entry) => Ok(()),
            _ => Err(RequestError::new(RequestFault::Te)),
        }
    }

    /// Checks that `:authority` and `Host` agree; a lone `:authority` stands for both.
    fn settle_host(
        &mut self,
        text: &mut Vec<u8>,
        limits: &Limits,
        choose: &mut impl FnMut(&[u8]) -> Option<Limits>,
    ) -> Result<(), RequestError> {
        let authority = self.pseudo[Pseudo::Authority as usize];
        match (authority, self.builder.head.get(text, Known::Host)) {
            _ if self.builder.head.host.is_empty() => {
                Err(RequestError::new(RequestFault::NoAuthority))
            }
            (Some(authority), Some(host)) if authority.of(text) != host => {
                Err(RequestError::new(RequestFault::HostsDiffer))
            }
            (Some(authority), None) => {
                let value = authority.of(text).to_vec();
                let entry = write(text, b"host", &value);
                self.builder.field(entry, text, limits, choose)
            }
            _ => Ok(()),
        }
    }
}

/// Appends a value.
fn store(text: &mut Vec<u8>, value: &[u8]) -> Span {
    let start = text.len();
    text.extend_from_slice(value);
    Span::new(start, text.len())
}

/// Appends a line.
fn write(text: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Entry {
    let known = Known::from_name(name);
    let name = store(text, name);
    text.extend_from_slice(b": ");
    let value = store(text, value);
    text.extend_from_slice(b"\r\n");
    Entry { name, value, known }
}

/// A judgement of a field's name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Good,
    Underscored,
    /// Bytes that names do not have, but harmless ones.
    Odd,
    /// Forbidden bytes, and upper case (RFC 9113 section 8.2.1).
    Refused,
}

fn judge(name: &[u8]) -> Name {
    let mut found = Name::Good;
    for &byte in name {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => {}
            0..=b' ' | 0x7f | b':' | b'A'..=b'Z' => return Name::Refused,
            b'_' if found == Name::Good => found = Name::Underscored,
            b'_' => {}
            _ => found = Name::Odd,
        }
    }
    if name.is_empty() { Name::Refused } else { found }
}

fn is_method(word: &[u8]) -> bool {
    word.iter().all(|&byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-'))
}

fn is_scheme(word: &[u8]) -> bool {
    word.iter().enumerate().all(|(at, &byte)| match byte {
        b'0'..=b'9' | b'+' | b'-' | b'.' => at > 0,
        _ => byte.is_ascii_alphabetic(),
    })
}

#[cfg(test)]
mod tests;
