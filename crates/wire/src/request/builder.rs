//! The builder of heads, from a request line and fields in order.

use super::error::{RequestError, RequestFault};
use super::framing::Framing;
use super::head::{Connection, RequestHead};
use super::limits::Limits;
use super::method::{Method, Version};
use crate::header::{Entry, Known, Span};
use crate::uri::{self, InvalidHost};

/// A head under construction. The codec has checked the syntax; this checks the rules of every
/// protocol: the number of fields, unique fields, the host, the needs of the method.
#[derive(Clone, Debug, Default)]
pub(crate) struct Builder {
    pub(crate) head: RequestHead,
    /// The limits of the chosen server, once the host is known.
    own: Option<Limits>,
    last_host: LastHost,
}

/// The last `Host` of the connection: it usually recurs, and need not be parsed again.
#[derive(Clone, Debug, Default)]
struct LastHost {
    /// As sent.
    text: Vec<u8>,
    /// As parsed.
    host: Vec<u8>,
    port: u16,
}

impl LastHost {
    /// The longest host that is remembered.
    const LONGEST: usize = 64;

    /// As [`uri::parse_host`].
    fn parse(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<u16, InvalidHost> {
        if !text.is_empty() && text == self.text {
            out.extend_from_slice(&self.host);
            return Ok(self.port);
        }
        let start = out.len();
        let port = uri::parse_host(text, out)?;
        if text.len() <= Self::LONGEST {
            self.text.clear();
            self.text.extend_from_slice(text);
            self.host.clear();
            self.host.extend_from_slice(&out[start..]);
            self.port = port;
        }
        Ok(port)
    }
}

impl Builder {
    /// Prepares for the next head and keeps the memory.
    pub(crate) fn reset(&mut self) {
        self.head.clear();
        self.own = None;
    }

    /// The limits that apply now.
    #[inline]
    pub(crate) fn rules<'a>(&'a self, limits: &'a Limits) -> &'a Limits {
        self.own.as_ref().unwrap_or(limits)
    }

    /// The limit of fields that applies now.
    #[inline]
    pub(crate) fn max_headers(&self, limits: &Limits) -> usize {
        self.rules(limits).max_headers as usize
    }

    /// Takes the host of the request line, or of its equivalent; an invalid one is `fault`.
    pub(crate) fn authority(
        &mut self,
        authority: Span,
        buf: &[u8],
        fault: RequestFault,
        choose: &mut impl FnMut(&[u8]) -> Option<Limits>,
    ) -> Result<(), RequestError> {
        let head = &mut self.head;
        let parsed = self.last_host.parse(authority.of(buf), &mut head.host);
        head.port = parsed.map_err(|_| RequestError { fault, span: authority })?;
        if !head.host.is_empty() {
            self.own = choose(&head.host);
        }
        Ok(())
    }

    /// Adds a field, or refuses it.
    #[inline]
    pub(crate) fn field(
        &mut self,
        entry: Entry,
        buf: &[u8],
        limits: &Limits,
        choose: &mut impl FnMut(&[u8]) -> Option<Limits>,
    ) -> Result<(), RequestError> {
        if self.head.entries.len() >= self.max_headers(limits) {
            return Err(RequestError::new(RequestFault::ManyHeaders));
        }
        if !self.head.seen.insert(entry.known) && entry.known.unique_in_request() {
            return Err(self.duplicate(entry));
        }
        self.head.entries.push(entry);
        self.notice(entry, buf, choose)
    }

    /// Adds a field that stands for another one and does not count.
    pub(crate) fn implied_field(
        &mut self,
        entry: Entry,
        buf: &[u8],
        choose: &mut impl FnMut(&[u8]) -> Option<Limits>,
    ) -> Result<(), RequestError> {
        self.head.seen.insert(entry.known);
        self.head.entries.push(entry);
        self.notice(entry, buf, choose)
    }

    /// Acts on the last field.
    #[inline]
    pub(crate) fn notice(
        &mut self,
        entry: Entry,
        buf: &[u8],
        choose: &mut impl FnMut(&[u8]) -> Option<Limits>,
    ) -> Result<(), RequestError> {
        match entry.known {
            Known::Host => self.host(entry.value, buf, choose)?,
            Known::Connection => self.connection(entry.value.of(buf)),
            _ => {}
        }
        Ok(())
    }

    #[cold]
    fn duplicate(&self, entry: Entry) -> RequestError {
        let previous = self.head.entries.iter().find(|other| other.known == entry.known);
        let previous = *previous.unwrap_or(&entry);
        RequestError { fault: RequestFault::Duplicate { previous, entry }, span: entry.value }
    }

    /// The host of the request line overrides the `Host` field, which must be valid nevertheless.
    fn host(
        &mut self,
        value: Span,
        buf: &[u8],
        choose: &mut impl FnMut(&[u8]) -> Option<Limits>,
    ) -> Result<(), RequestError> {
        let head = &mut self.head;
        let known = head.host.len();
        let Ok(port) = self.last_host.parse(value.of(buf), &mut head.host) else {
            head.host.truncate(known);
            return Err(RequestError { fault: RequestFault::Host, span: value });
        };
        if known > 0 {
            head.host.truncate(known);
        } else {
            head.port = port;
            self.own = choose(&head.host);
        }
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) {
        match Connection::of(value) {
            Connection::Unsaid => {}
            said => self.head.connection = said,
        }
    }

    /// The checks of the complete head, in nginx's order. `framing` decides the framing of the
    /// body.
    pub(crate) fn finish(
        &mut self,
        limits: &Limits,
        framing: impl FnOnce(&RequestHead) -> Result<Framing, RequestError>,
    ) -> Result<(), RequestError> {
        let allow_connect = self.rules(limits).allow_connect;
        let head = &mut self.head;
        let fail = |fault| Err(RequestError::new(fault));
        if head.version > Version::HTTP_10 && !head.seen.contains(Known::Host) {
            return fail(RequestFault::NoHost);
        }
        head.framing = framing(head)?;
        match head.method {
            // One that asks for a protocol is an ordinary request for whoever offered that.
            Method::Connect if !head.connect_protocol.is_empty() => Ok(()),
            Method::Connect if head.version < Version::HTTP_11 || !allow_connect => {
                fail(RequestFault::Connect)
            }
            Method::Connect if !matches!(head.framing, Framing::None | Framing::Length(0)) => {
                fail(RequestFault::ConnectBody)
            }
            _ => Ok(()),
        }
    }
}
