//! Heads as lists of fields, as in HTTP/2 and HTTP/3.

mod pseudo;

use pseudo::{Asked, Pseudos};

use super::builder::Builder;
use super::error::{Pseudo, PseudoFault, RequestError, RequestFault};
use super::framing::{Framing, parse_length};
use super::head::RequestHead;
use super::limits::Limits;
use super::method::{Method, Version};
use crate::field_block::{FieldBlock, Name, Overflow};
use crate::header::{Entry, Known, Seen, Span};

/// Builds heads from fields, pseudo-fields first (RFC 9113 section 8.3, RFC 9114 section 4.3).
///
/// A head's spans point into the bytes of the fields, which hold a request line in HTTP/1 form, for
/// logs and variables, behind them. Cookies from several fields are joined (RFC 9113 section
/// 8.2.3).
///
/// ```
/// use weir_wire::field_block::FieldBlock;
/// use weir_wire::request::{Limits, RequestFields, RequestHead, Version};
/// let (mut fields, mut text) = (RequestFields::new(Version::HTTP_2), Vec::new());
/// let mut block = FieldBlock::default();
/// for (name, value) in [(":method", "GET"), (":scheme", "https"), (":authority", "a.test"),
///     (":path", "/x?y"), ("accept", "*/*")] {
///     block.push(name.as_bytes(), value.as_bytes());
/// }
/// fields.build(&mut block, &mut text, &Limits::default(), true, |_| None)?;
/// let mut head = RequestHead::default();
/// fields.swap_head(&mut head);
/// assert_eq!(head.line.of(&text), b"GET /x?y HTTP/2.0");
/// assert_eq!((&head.host[..], head.target.of(&text)), (&b"a.test"[..], &b"/x?y"[..]));
/// # Ok::<(), weir_wire::request::RequestError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RequestFields {
    builder: Builder,
    version: Version,
    /// Whether `:protocol` is allowed (RFC 8441).
    extended_connect: bool,
    pseudo: Pseudos,
    /// The values of cookies after the first.
    crumbs: Vec<Span>,
}

impl RequestFields {
    /// For heads of this version.
    pub fn new(version: Version) -> Self {
        Self {
            builder: Builder::default(),
            version,
            extended_connect: false,
            pseudo: Pseudos::default(),
            crumbs: Vec::new(),
        }
    }

    /// Allows `:protocol`, which this side has offered (RFC 8441 section 3).
    pub fn allow_extended_connect(&mut self) {
        self.extended_connect = true;
    }

    /// The head, as far as it was built.
    pub fn head(&self) -> &RequestHead {
        &self.builder.head
    }

    /// Exchanges the head for one whose memory the next one takes over.
    pub fn swap_head(&mut self, head: &mut RequestHead) {
        std::mem::swap(&mut self.builder.head, head);
    }

    /// Builds a head; `ended` means that no body follows. `text`, which is empty, is exchanged with
    /// the bytes of the block, which is empty then. When the host becomes known, `choose` may
    /// return the limits of its server, which apply to the following fields.
    ///
    /// # Errors
    /// The refusal of the head; spans point into `text`.
    pub fn build(
        &mut self,
        block: &mut FieldBlock,
        text: &mut Vec<u8>,
        limits: &Limits,
        ended: bool,
        mut choose: impl FnMut(&[u8]) -> Option<Limits>,
    ) -> Result<(), RequestError> {
        debug_assert!(text.is_empty());
        self.builder.reset();
        self.pseudo = Pseudos::default();
        self.crumbs.clear();
        block.swap_bytes(text);
        let result = self
            .all(block, text, limits, &mut choose)
            .and_then(|()| self.finish(text, limits, ended, &mut choose));
        if result.is_err() && self.builder.head.protocol.is_empty() {
            self.begin_refused(text);
        }
        block.clear();
        result
    }

    /// Takes all fields.
    fn all(
        &mut self,
        block: &FieldBlock,
        text: &mut Vec<u8>,
        limits: &Limits,
        choose: &mut impl FnMut(&[u8]) -> Option<Limits>,
    ) -> Result<(), RequestError> {
        let is_pseudo = |text: &[u8], entry: &Entry| {
            entry.known == Known::Other && entry.name.of(text).first() == Some(&b':')
        };
        let entries = block.entries();
        let count = entries.iter().take_while(|entry| is_pseudo(text, entry)).count();
        let (pseudo, entries) = entries.split_at(count);
        for entry in pseudo {
            self.pseudo.take(entry, text, self.extended_connect)?;
            self.builder.head.target_never_indexed |=
                entry.never_indexed && entry.name.of(text) == b":path";
            if self.pseudo.last_is_authority(entry) {
                let fault = authority_fault(PseudoFault::Invalid);
                self.builder.authority(entry.value, text, fault, choose)?;
            }
        }
        self.refuse_large(block, limits)?;
        self.begin(text)?;
        let plain = block.is_plain_throughout();
        for entry in entries {
            if is_pseudo(text, entry) {
                return Err(RequestError::new(RequestFault::PseudoOrder));
            }
            if plain || self.is_accepted(entry, text, limits)? {
                self.field(*entry, text, limits, choose)?;
            }
        }
        // The host may have come with `Host`.
        self.refuse_large(block, limits)
    }

    /// Refuses fields that are too large, alone or together, or some of which are missing.
    #[inline]
    fn refuse_large(&self, block: &FieldBlock, limits: &Limits) -> Result<(), RequestError> {
        let rules = self.builder.rules(limits);
        let one = rules.large_buffer_size as usize;
        let most = rules.large_buffers as usize * one;
        let is_large = |entry: &Entry| entry.name.len().max(entry.value.len()) > one;
        match block.overflow() {
            Some(Overflow::Fields) => Err(RequestError::new(RequestFault::ManyHeaders)),
            Some(Overflow::Bytes) => Err(RequestError::new(RequestFault::LargeFields)),
            None if block.size() > most
                || block.size() > one && block.entries().iter().any(is_large) =>
            {
                Err(RequestError::new(RequestFault::LargeFields))
            }
            None => Ok(()),
        }
    }

    /// Whether a field that is not plain belongs to the head; otherwise it is skipped.
    #[cold]
    fn is_accepted(
        &mut self,
        entry: &Entry,
        text: &[u8],
        limits: &Limits,
    ) -> Result<bool, RequestError> {
        let rules = self.builder.rules(limits);
        let named = match Name::of(entry.name.of(text)) {
            Name::Refused => {
                return Err(RequestError { fault: RequestFault::FieldName, span: entry.name });
            }
            Name::Plain => true,
            Name::Underscored => rules.underscores,
            Name::Odd => false,
        };
        if !FieldBlock::is_plain_value(entry.value.of(text), false) {
            let fault = RequestFault::FieldValue { entry: *entry };
            return Err(RequestError { fault, span: entry.value });
        }
        if !named && rules.ignore_invalid {
            self.builder.head.skipped.push(entry.name);
            return Ok(false);
        }
        Ok(true)
    }

    #[inline]
    fn field(
        &mut self,
        entry: Entry,
        text: &[u8],
        limits: &Limits,
        choose: &mut impl FnMut(&[u8]) -> Option<Limits>,
    ) -> Result<(), RequestError> {
        if entry.known == Known::Cookie && self.builder.head.seen.contains(Known::Cookie) {
            self.crumbs.push(entry.value);
            return Ok(());
        }
        self.builder.field(entry, text, limits, choose)
    }

    /// Completes the head.
    fn finish(
        &mut self,
        text: &mut Vec<u8>,
        limits: &Limits,
        ended: bool,
        choose: &mut impl FnMut(&[u8]) -> Option<Limits>,
    ) -> Result<(), RequestError> {
        if !self.crumbs.is_empty() {
            self.join_cookies(text);
        }
        self.refuse_hop_fields(text)?;
        self.settle_host(text, choose)?;
        let builder = &mut self.builder;
        builder.finish(limits, |head| match (head.get(text, Known::ContentLength), ended) {
            // What follows is the tunnel's.
            _ if head.method == Method::Connect => Ok(Framing::None),
            (None, true) => Ok(Framing::None),
            (None, false) => Ok(Framing::Chunked),
            (Some(length), _) => match parse_length(length) {
                // The stream ended before its announced body.
                Some(1..) if ended => Err(RequestError::new(RequestFault::EarlyEnd)),
                Some(length) => Ok(Framing::Length(length)),
                None => Err(RequestError::new(RequestFault::ContentLength)),
            },
        })?;
        let head = &mut builder.head;
        head.length = text.len();
        if head.method == Method::Connect && head.connect_protocol.is_empty() {
            if self.pseudo.has_path() {
                return Err(RequestError::new(RequestFault::Connect));
            }
            // RFC 9113 section 8.5: a tunnel leads to a host and a port.
            if head.port == 0 {
                return Err(RequestError::new(authority_fault(PseudoFault::Invalid)));
            }
        }
        Ok(())
    }

    /// Writes the request line that the pseudo-fields make up.
    fn begin(&mut self, text: &mut Vec<u8>) -> Result<(), RequestError> {
        let asked = self.pseudo.complete(text)?;
        self.write_line(&asked, text);
        Ok(())
    }

    /// Writes what is known of a refused head's request line, for the response, logs and variables.
    #[cold]
    fn begin_refused(&mut self, text: &mut Vec<u8>) {
        if let Some(asked) = self.pseudo.partial() {
            return self.write_line(&asked, text);
        }
        let head = &mut self.builder.head;
        head.method_text = self.pseudo.method();
        head.method = Method::from_bytes(head.method_text.of(text));
        self.write_version(text);
    }

    fn write_line(&mut self, asked: &Asked, text: &mut Vec<u8>) {
        let start = text.len();
        text.extend_from_within(asked.method.range());
        text.push(b' ');
        text.extend_from_within(asked.shown.range());
        text.push(b' ');
        let from = text.len();
        self.write_version(text);
        let head = &mut self.builder.head;
        head.line = Span::new(start, text.len());
        text.extend_from_slice(b"\r\n");
        head.method = Method::from_bytes(asked.method.of(text));
        (head.method_text, head.scheme) = (asked.method, asked.scheme);
        head.connect_protocol = asked.protocol;
        match asked.path {
            Some((path, scan)) => (head.target, head.scan) = (path, scan),
            // CONNECT has no path; locations see `/`.
            None => head.target = Span::new(from + 4, from + 5),
        }
    }

    fn write_version(&mut self, text: &mut Vec<u8>) {
        let (start, Version(version)) = (text.len(), self.version);
        text.extend_from_slice(b"HTTP/");
        text.extend_from_slice(&[b'0' + (version / 1000) as u8, b'.', b'0' + (version % 10) as u8]);
        let head = &mut self.builder.head;
        (head.protocol, head.version) = (Span::new(start, text.len()), self.version);
    }

    /// Makes one field of all cookies, in the place of the first.
    #[inline(never)]
    fn join_cookies(&mut self, text: &mut Vec<u8>) {
        let is_cookie = |entry: &&mut Entry| entry.known == Known::Cookie;
        let Some(entry) = self.builder.head.entries.iter_mut().find(is_cookie) else { return };
        let start = text.len();
        text.extend_from_slice(b"cookie: ");
        text.extend_from_within(entry.value.range());
        for crumb in &self.crumbs {
            text.extend_from_slice(b"; ");
            text.extend_from_within(crumb.range());
        }
        entry.name = Span::new(start, start + b"cookie".len());
        entry.value = Span::new(start + b"cookie: ".len(), text.len());
        text.extend_from_slice(b"\r\n");
    }

    /// Refuses the connection-specific fields of HTTP/1.
    #[inline]
    fn refuse_hop_fields(&self, text: &[u8]) -> Result<(), RequestError> {
        const NOTICED: Seen = Known::CONNECTION_SPECIFIC.or(Seen::of(&[Known::Te]));
        let head = &self.builder.head;
        if !head.seen.meets(NOTICED) {
            return Ok(());
        }
        let hop = |entry: &&Entry| Known::CONNECTION_SPECIFIC.contains(entry.known);
        if let Some(&Entry { known, .. }) = head.entries.iter().find(hop) {
            return Err(RequestError::new(RequestFault::HopField { known }));
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
        text: &mut [u8],
        choose: &mut impl FnMut(&[u8]) -> Option<Limits>,
    ) -> Result<(), RequestError> {
        match (self.pseudo.authority(), self.builder.head.get(text, Known::Host)) {
            _ if self.builder.head.host.is_empty() => {
                Err(RequestError::new(RequestFault::NoAuthority))
            }
            (Some(authority), Some(host)) if authority.value.of(text) != host => {
                Err(RequestError::new(RequestFault::HostsDiffer))
            }
            (Some(authority), None) => {
                // The name's end becomes another name.
                let mut entry = Entry { known: Known::Host, ..authority };
                entry.name.start = entry.name.end - b"host".len() as u32;
                if let Some(name) = text.get_mut(entry.name.range()) {
                    name.copy_from_slice(b"host");
                }
                self.builder.implied_field(entry, text, choose)
            }
            _ => Ok(()),
        }
    }
}

fn authority_fault(wrong: PseudoFault) -> RequestFault {
    RequestFault::Pseudo { field: Pseudo::Authority, wrong }
}

#[cfg(test)]
mod tests;
