//! The interface of upstream protocols.

use std::ops::Range;
use std::sync::Arc;

use weir_wire::field_block::FieldBlock;
use weir_wire::header::Headers;

use super::body::{BodyReader, Note};
use super::target::Target;
use crate::piece::Piece;
use crate::rejection::Rejection;
use crate::request::Request;

/// An upstream protocol, for one request. It is called once for each head, and says there how the
/// body is framed ([`OutgoingBody`], [`BodyReader`]), so that bodies need no calls.
pub trait Protocol {
    /// The part of the client's body that is needed.
    fn wants(&self, _request: &Request) -> Wanted {
        Wanted::AsSet
    }

    /// Writes the head of the request to `target`. If it writes nothing, nothing is sent, and the
    /// response head is read from no bytes as soon as there is a connection.
    ///
    /// # Errors
    /// The rejection of the request; the reason has been logged.
    fn write_head(
        &mut self,
        request: &mut Request,
        target: &Target,
        out: &mut Vec<u8>,
    ) -> Result<Outgoing, Rejection>;

    /// Parses the received bytes, and returns whether the head is complete. If so, it replaces
    /// `head` and `headers`. Otherwise it may set the length of `head` to the number of bytes that
    /// it has used and will not see again, and leave messages there; it is called again at once if
    /// others are left. A multiplexed protocol gets fields instead ([`Protocol::read_fields`]).
    ///
    /// # Errors
    /// The bytes are not a response.
    fn read_head(
        &mut self,
        _input: &[u8],
        _headers: &mut Headers,
        _head: &mut UpstreamHead,
    ) -> Result<bool, InvalidHead> {
        Ok(false)
    }

    /// Whether requests share connections, as streams. [`Protocol::write_head`] then writes lines
    /// like those of HTTP/1 without a first one: pseudo-fields with their colon, then fields.
    fn is_multiplexed(&self) -> bool {
        false
    }

    /// Like [`Protocol::read_head`], of fields instead of bytes. `ended`: the response has no
    /// body. Takes the fields out of `block`.
    ///
    /// # Errors
    /// The fields are not those of a response.
    fn read_fields(
        &mut self,
        _block: &mut FieldBlock,
        _ended: bool,
        _headers: &mut Headers,
        _head: &mut UpstreamHead,
    ) -> Result<(), InvalidHead> {
        Err(InvalidHead("upstream sent fields instead of bytes".into()))
    }

    /// Writes the key of the response in a cache, if the configuration sets none. By default, it is
    /// empty.
    fn default_key(&self, _request: &mut Request, _target: &Target, _out: &mut Vec<u8>) {}

    /// The translation of the client's body ([`OutgoingBody::Translated`]), which begins anew for
    /// each attempt.
    fn translator(&self) -> Option<Box<dyn Translator>> {
        None
    }

    /// Resets the parser for another attempt.
    fn reset(&mut self);

    /// Rewrites a `Location` or `Refresh` value (`proxy_redirect`).
    fn redirect(&self, _request: &mut Request, _value: &[u8]) -> Option<Vec<u8>> {
        None
    }

    /// Rewrites a `Set-Cookie` value (`proxy_cookie_domain`, …).
    fn cookie(&self, _request: &mut Request, _value: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// The upstream's bytes are not a response, for this reason, which is logged.
#[derive(Debug)]
pub struct InvalidHead(pub String);

/// The part of the client's body that a protocol needs before it writes the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// None: the body is not passed on.
    Nothing,
    /// All of it.
    Whole,
    /// All of it, or the part received so far (`…_request_buffering off`).
    AsSet,
}

/// Which trailers of a client are passed on.
pub(crate) trait TrailerRules: Send + Sync {
    /// Those of `found` that are, as lines.
    fn lines(&self, found: &Headers) -> Vec<u8>;
}

/// A request as a protocol has written it.
#[derive(Default)]
pub struct Outgoing {
    /// The range of the URI in the head.
    pub uri: Range<usize>,
    /// The framing of the client's body.
    pub body: OutgoingBody,
    /// The rules for the client's trailers, if they are passed on: as chunks or a stream have them.
    pub(crate) trailers: Option<Arc<dyn TrailerRules>>,
}

/// A translation of the client's body on its way to the upstream.
pub trait Translator {
    /// Takes a piece of the body, which is in memory, and pushes what it becomes.
    ///
    /// # Errors
    /// What the client has sent instead of a body, in words.
    fn push(&mut self, input: Piece, out: &mut Vec<Piece>) -> Result<(), &'static str>;

    /// The body has ended.
    ///
    /// # Errors
    /// As for [`Translator::push`].
    fn end(&mut self) -> Result<(), &'static str>;
}

/// The framing of the client's body.
#[derive(Clone, Copy, Default)]
pub enum OutgoingBody {
    /// No body.
    #[default]
    None,
    /// No framing.
    Plain,
    /// So many bytes at the end of the head, instead of the client's body, on a stream.
    Given(usize),
    /// As [`Protocol::translator`] makes it, on a stream.
    Translated,
    /// In frames.
    Framed(&'static Frames),
}

/// The framing of request bodies in a protocol.
pub struct Frames {
    /// The maximum length of a frame, in bytes.
    pub most: u64,
    /// The bytes before a frame with this many bytes.
    pub head: fn(u64) -> Piece,
    /// The bytes after a frame with this many bytes.
    pub tail: fn(u64) -> &'static [u8],
    /// The bytes after the last frame.
    pub end: &'static [u8],
}

/// The head of an upstream's response, without the fields, which are in the request.
#[derive(Default)]
pub struct UpstreamHead {
    /// The status code.
    pub status: u16,
    /// The status line after the version, if the protocol has one.
    pub status_line: Option<Vec<u8>>,
    /// The framing of the body.
    pub body: BodyReader,
    /// The number of bytes used: those of the head, or what is left of it.
    pub length: usize,
    /// Whether the connection is reusable once the body has ended.
    pub reusable: bool,
    /// Whether the connection now speaks another protocol.
    pub upgraded: bool,
    /// Whether the head is the whole response, so that the connection is reusable even if the
    /// response is not forwarded.
    pub complete: bool,
    /// `Content-Encoding`, if the protocol expresses it in a way of its own.
    pub encoding: Option<&'static str>,
    /// Messages for the log.
    pub notes: Vec<Note>,
}
