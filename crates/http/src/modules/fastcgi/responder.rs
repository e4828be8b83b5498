//! A request to a FastCGI application, as a [`Protocol`].

use weir_engine::error_log::Level;
use weir_wire::fastcgi::{self, Part, Records, Start};
use weir_wire::h1::StatusLine;
use weir_wire::header::Headers;

use super::FASTCGI;
use super::body::{Body, stderr, trim};
use crate::body::Outlook;
use crate::pass::body::BodyReader;
use crate::pass::cgi::CgiHead;
use crate::pass::protocol::{
    Frames, InvalidHead, Outgoing, OutgoingBody, Protocol, UpstreamHead, Wanted,
};
use crate::pass::target::Target;
use crate::piece::Piece;
use crate::rejection::Rejection;
use crate::request::Request;
use crate::route::Location;
use crate::snapshot::Held;

/// The framing of request bodies: STDIN records.
static STDIN: Frames = Frames {
    most: fastcgi::STDIN_MOST,
    head: |length| Piece::copy(&fastcgi::stdin_header(length)),
    tail: fastcgi::padding,
    end: fastcgi::END_OF_STDIN,
};

/// The exchange of one request with an application.
pub(super) struct Responder {
    location: Held<Location>,
    records: Records,
    head: CgiHead,
    /// The head so far, if it is split over records or reads: at most `fastcgi_buffer_size`.
    text: Vec<u8>,
}

impl Responder {
    pub(super) fn new(request: &Request, location: Held<Location>) -> Self {
        let head = CgiHead::new(request, StatusLine::None);
        Self { location, records: Records::new(), head, text: Vec::new() }
    }

    /// Whether a message on standard error means that the response is invalid.
    fn catches(&self, message: &[u8]) -> bool {
        let caught = &self.location.settings.get(&FASTCGI).catch_stderr;
        let has = |text: &String| memchr::memmem::find(message, text.as_bytes()).is_some();
        caught.iter().any(|text| !text.is_empty() && has(text))
    }

    /// Takes a part of standard output. Returns the number of bytes behind the head, if it is
    /// complete.
    fn take(
        &mut self,
        part: &[u8],
        headers: &mut Headers,
        into: &mut UpstreamHead,
    ) -> Result<Option<usize>, InvalidHead> {
        let size = super::transfer(&self.location).buffer_size.0 as usize;
        let mut text = std::mem::take(&mut self.text);
        // Most heads come in one piece, and are parsed in place.
        let whole = match text.is_empty() {
            true => part,
            false => {
                text.extend_from_slice(part);
                &text
            }
        };
        let Some(length) = self.head.advance(whole, size)? else {
            if text.is_empty() {
                text.extend_from_slice(part);
            }
            self.text = text;
            return Ok(None);
        };
        let found = self.head.finish(&whole[..length], headers)?;
        let behind = whole.len() - length;
        into.body = BodyReader::None;
        if !found.bodiless {
            self.records.give_back(behind);
            let records = std::mem::take(&mut self.records);
            into.reusable = self.location.settings.get(&FASTCGI).keep_conn;
            let mut body = Body::new(records, found.length, into.reusable);
            if found.optional {
                body.may_be_missing();
            }
            into.body = BodyReader::Framed(Box::new(body));
        }
        found.give(into);
        Ok(Some(behind))
    }
}

impl Protocol for Responder {
    fn wants(&self, _: &Request) -> Wanted {
        match super::transfer(&self.location).pass_request_body {
            true => Wanted::AsSet,
            false => Wanted::Whole,
        }
    }

    fn write_head(
        &mut self,
        request: &mut Request,
        _: &Target,
        out: &mut Vec<u8>,
    ) -> Result<Outgoing, Rejection> {
        let fastcgi = self.location.settings.get(&FASTCGI);
        let Some(params) = &fastcgi.compiled else { return Err(Rejection::INTERNAL) };
        let transfer = super::transfer(&self.location);
        self.head.sent(request);
        let mut start = Start::new(fastcgi.keep_conn, out);
        let written = params.write(request, transfer.pass_request_headers, start.params());
        debug_assert!(written.is_ok(), "FastCGI can express every byte");
        if let Err(error) = start.finish() {
            request.log(Level::Alert, &error.message());
            return Err(Rejection::INTERNAL);
        }
        let sends = transfer.pass_request_body
            && matches!(request.body.outlook(), Outlook::Here(1..) | Outlook::Coming);
        let body = match sends {
            true => OutgoingBody::Framed(&STDIN),
            false => {
                out.extend_from_slice(fastcgi::END_OF_STDIN);
                OutgoingBody::None
            }
        };
        Ok(Outgoing { body, ..Outgoing::default() })
    }

    fn read_head(
        &mut self,
        input: &[u8],
        headers: &mut Headers,
        head: &mut UpstreamHead,
    ) -> Result<bool, InvalidHead> {
        let mut at = 0;
        let part = self.records.next(input, &mut at);
        let part = part.map_err(|error| InvalidHead(error.message()))?;
        // Each part is used up on its own, so that however much is on standard error needs no room.
        head.length = at;
        match part {
            None => {}
            Some(Part::Stdout(range)) => {
                if let Some(behind) = self.take(&input[range], headers, head)? {
                    head.length = at - behind;
                    return Ok(true);
                }
            }
            Some(Part::Stderr(range)) => {
                let note = stderr(&input[range.clone()]);
                if self.catches(trim(&input[range])) {
                    return Err(InvalidHead(note.text.into_owned()));
                }
                head.notes.push(note);
            }
            Some(Part::Closed) => {
                return Err(InvalidHead("upstream prematurely closed FastCGI stdout".into()));
            }
            Some(Part::EndRequest | Part::Done) => {
                let message = "upstream sent unexpected FastCGI record: 3";
                return Err(InvalidHead(message.into()));
            }
        }
        Ok(false)
    }

    fn reset(&mut self) {
        self.records = Records::new();
        self.head.reset();
        self.text.clear();
    }
}
