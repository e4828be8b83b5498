//! The heads of responses of applications: CGI fields, with a status line where the protocol allows
//! one (FastCGI, SCGI, uwsgi).

use weir_wire::cgi;
use weir_wire::h1::{Method, StatusLine};
use weir_wire::header::{Headers, Known};

use super::body::{BodyReader, Note};
use super::head_lines::{duplicates, unusual};
use super::protocol::{InvalidHead, OutgoingBody, UpstreamHead, Wanted};
use super::transfer::Transfer;
use crate::body::Outlook;
use crate::request::Request;
use crate::request::spare::{self, LentParser};

/// The part of the client's body that is needed to send its length first.
pub(crate) fn wants(request: &Request, settings: &Transfer) -> Wanted {
    match settings.pass_request_body && !request.body.chunked {
        true => Wanted::AsSet,
        false => Wanted::Whole,
    }
}

/// The framing of a body that follows its head as it is.
pub(crate) fn outgoing(request: &Request, settings: &Transfer) -> OutgoingBody {
    match request.body.outlook() {
        Outlook::Here(1..) | Outlook::Coming if settings.pass_request_body => OutgoingBody::Plain,
        _ => OutgoingBody::None,
    }
}

/// The head of one response.
pub(crate) struct CgiHead {
    parser: LentParser,
    line: StatusLine,
    /// Whether the request is a HEAD.
    head: bool,
    /// Whether the response may be cached, with the body that applications send to HEAD, too.
    fetches: bool,
    /// Whether the client asks for another protocol.
    upgrade: bool,
}

/// A complete head.
pub(crate) struct Found {
    pub(crate) status: u16,
    pub(crate) status_line: Option<Vec<u8>>,
    /// The length of the body; None until it ends.
    pub(crate) length: Option<u64>,
    /// Whether there is no body, whatever its length.
    pub(crate) bodiless: bool,
    /// Whether there may be no body, whatever its length: that of a HEAD, which is read for the
    /// cache.
    pub(crate) optional: bool,
    /// Whether the connection now speaks another protocol.
    pub(crate) upgraded: bool,
    pub(crate) notes: Vec<Note>,
}

impl CgiHead {
    /// The head of the response to a request; `line` says whether it begins with a status line.
    pub(crate) fn new(request: &Request, line: StatusLine) -> Self {
        let mut parser = spare::response_parser();
        parser.reset_to(line);
        let upgrade = request.head.get(Known::Upgrade).is_some();
        Self { parser, line, head: request.method == Method::Head, fetches: false, upgrade }
    }

    /// Notes the request as it is sent, on which the cache has decided.
    pub(crate) fn sent(&mut self, request: &Request) {
        self.fetches = request.attempts.cache.fetches;
    }

    /// Prepares for another attempt.
    pub(crate) fn reset(&mut self) {
        self.parser.reset_to(self.line);
    }

    /// Parses `input`, which has grown since the last call. Returns the length of a complete head,
    /// at most `size`.
    pub(crate) fn advance(
        &mut self,
        input: &[u8],
        size: usize,
    ) -> Result<Option<usize>, InvalidHead> {
        self.parser.advance(input, size).map_err(|error| InvalidHead(error.message(input)))
    }

    /// Evaluates the complete head `bytes`, and moves its fields to `headers`.
    pub(crate) fn finish(
        &mut self,
        bytes: &[u8],
        headers: &mut Headers,
    ) -> Result<Found, InvalidHead> {
        let invalid = |status: &[u8]| {
            InvalidHead(format!("upstream sent invalid status \"{}\"", weir_wire::shown(status)))
        };
        let (status, line) = cgi::status(self.parser.head(), bytes).map_err(invalid)?;
        let upgraded = status == 101 && self.upgrade && self.line == StatusLine::Optional;
        if status < 200 && !upgraded {
            // Not even nginx treats it as an interim response, and no other one follows.
            return Err(invalid(line.unwrap_or(status.to_string().as_bytes())));
        }
        let status_line = line.and_then(|line| unusual(status, line));
        self.parser.give_lines(bytes, headers);
        let head = self.parser.head();
        Ok(Found {
            status,
            status_line,
            length: head.content_length,
            bodiless: self.head && !self.fetches || matches!(status, 101 | 204 | 304),
            optional: self.head,
            upgraded,
            notes: match head.duplicates.is_empty() {
                true => Vec::new(),
                false => duplicates(&head.duplicates, headers, bytes),
            },
        })
    }

    /// Reads the head of a response whose body follows without framing.
    pub(crate) fn read(
        &mut self,
        input: &[u8],
        size: usize,
        headers: &mut Headers,
        into: &mut UpstreamHead,
    ) -> Result<bool, InvalidHead> {
        let Some(length) = self.advance(input, size)? else { return Ok(false) };
        let found = self.finish(&input[..length], headers)?;
        into.body = match found.length {
            _ if found.bodiless => BodyReader::None,
            Some(length) if !found.optional => BodyReader::Length(length),
            _ => BodyReader::Close,
        };
        into.length = length;
        found.give(into);
        Ok(true)
    }
}

impl Found {
    /// Moves everything but the framing of the body.
    pub(crate) fn give(self, into: &mut UpstreamHead) {
        into.status = self.status;
        into.status_line = self.status_line;
        into.upgraded = self.upgraded;
        into.notes.extend(self.notes);
    }
}
