//! HTTP/1.x to upstreams, as a [`Protocol`].

use weir_engine::error_log::Level;
use weir_script::Template;
use weir_wire::h1::{Framing, LAST_CHUNK, Method, Version, chunk_head};
use weir_wire::header::{Headers, Known};
use weir_wire::uri::{self, Escape};

use super::{PROXY, rewrite};
use crate::body::Outlook;
use crate::field::clean;
use crate::pass::body::BodyReader;
use crate::pass::fields::BodyPlan;
use crate::pass::head_lines::{duplicates, unusual};
use crate::pass::protocol::{
    Frames, InvalidHead, Outgoing, OutgoingBody, Protocol, UpstreamHead, Wanted,
};
use crate::pass::target::Target;
use crate::piece::Piece;
use crate::rejection::Rejection;
use crate::request::Request;
use crate::request::spare;
use crate::route::Location;
use crate::snapshot::Held;

/// The framing of a chunked request body (RFC 9112, section 7.1).
static CHUNKS: Frames = Frames {
    most: u64::MAX,
    head: |length| Piece::copy(&chunk_head(length as usize)),
    tail: |_| b"\r\n",
    end: LAST_CHUNK,
};

/// The exchange of one request with an upstream.
pub(super) struct Http1 {
    location: Held<Location>,
    parser: spare::LentParser,
    /// Whether the request is a HEAD, whose response has no body.
    head: bool,
    /// Whether the request is a CONNECT, after which the connection is not reused.
    connect: bool,
    upgrade: bool,
}

impl Http1 {
    pub(super) fn new(location: Held<Location>) -> Self {
        let parser = spare::response_parser();
        Self { location, parser, head: false, connect: false, upgrade: false }
    }

    /// Writes `Host`: the configured value, or the upstream's. HTTP/1.1 requires one.
    fn write_host(
        request: &mut Request,
        host: &str,
        set: Option<&Template>,
        version: Version,
        out: &mut Vec<u8>,
    ) {
        let line = out.len();
        out.extend_from_slice(b"Host: ");
        let start = out.len();
        match set {
            Some(template) => template.eval(request, out),
            None => out.extend_from_slice(host.as_bytes()),
        }
        if out.len() == start && version >= Version::HTTP_11 {
            out.extend_from_slice(host.as_bytes());
        }
        if out.len() == start {
            return out.truncate(line);
        }
        clean(out, start);
        out.extend_from_slice(b"\r\n");
    }

    /// Writes the request target. Returns whether it is the client's own, which the parser has
    /// checked for blanks and control bytes.
    fn write_uri(request: &Request, target: &Target, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        match (&target.place.uri, target.place.replaces) {
            (Some(uri), None) => out.extend_from_slice(uri),
            (None, _) if request.uri_intact => {
                out.extend_from_slice(&request.head.unparsed_uri());
                return out.len() > start;
            }
            (uri, replaces) => {
                let replaced = match (uri, replaces) {
                    (Some(uri), Some(length)) if request.location_valid => {
                        out.extend_from_slice(uri);
                        length.min(request.uri.len())
                    }
                    _ => 0,
                };
                let path = &request.uri[replaced..];
                match request.internal || is_escaped(&request.head.unparsed_uri()) {
                    true => uri::escape(Escape::Uri, path, out),
                    // Unescaped, as in the client's URI.
                    false => out.extend_from_slice(path),
                }
                if !request.args.is_empty() {
                    out.push(b'?');
                    out.extend_from_slice(&request.args);
                }
            }
        }
        if out.len() == start {
            out.push(b'/');
        }
        false
    }

    /// Decides on the framing of the body, before the fields announce it.
    fn plan_body(
        &self,
        request: &mut Request,
        set_body: Option<&[u8]>,
    ) -> (BodyPlan, OutgoingBody) {
        let outlook = match (set_body, super::transfer(&self.location).pass_request_body) {
            (Some(body), _) => Outlook::Here(body.len() as u64),
            (None, true) => request.body.outlook(),
            (None, false) => Outlook::Nothing,
        };
        let body = &request.body;
        let is_asking = matches!(request.method, Method::Get | Method::Head);
        let plan = match outlook {
            Outlook::Here(length) => {
                let told = set_body.is_some() || length > 0 || body.content_length.is_some();
                BodyPlan { length: told.then_some(length), chunked: false }
            }
            Outlook::Coming if body.chunked => BodyPlan { length: None, chunked: true },
            Outlook::Coming => BodyPlan { length: body.content_length, chunked: false },
            // An empty body is announced if the client announced it, a dropped one as empty.
            Outlook::Nothing | Outlook::Gone => {
                let told = body.content_length == Some(0) || body.is_announced() && !is_asking;
                BodyPlan { length: told.then_some(0), chunked: false }
            }
        };
        let sends = set_body.is_none() && matches!(outlook, Outlook::Here(_) | Outlook::Coming);
        let outgoing = match (sends, plan.chunked) {
            (false, _) => OutgoingBody::None,
            (true, false) => OutgoingBody::Plain,
            (true, true) => OutgoingBody::Framed(&CHUNKS),
        };
        let shown = &mut request.attempts.shown;
        shown.chunked = plan.chunked;
        shown.body_length = plan.length;
        (plan, outgoing)
    }

    /// Writes the method: GET for a HEAD that the cache fetches with it, else `proxy_method`, or
    /// the client's. A method that would break the request line is refused.
    fn write_method(
        &mut self,
        request: &mut Request,
        method: Option<&Template>,
        out: &mut Vec<u8>,
    ) -> Result<(), Rejection> {
        let start = out.len();
        if request.attempts.cache.converts {
            out.extend_from_slice(b"GET");
        } else if let Some(template) = method {
            template.eval(request, out);
            if !out[start..].iter().all(u8::is_ascii_graphic) {
                request
                    .log(Level::Error, "method for upstream contains blanks or control characters");
                return Err(Rejection::BAD_REQUEST);
            }
            self.connect = out[start..].eq_ignore_ascii_case(b"CONNECT");
        }
        if out.len() == start {
            out.extend_from_slice(request.method_name());
        }
        self.head = out[start..].eq_ignore_ascii_case(b"HEAD");
        Ok(())
    }
}

/// Whether the path of a client's URI has escapes (nginx: `quoted_uri`).
fn is_escaped(uri: &[u8]) -> bool {
    uri.iter().take_while(|&&byte| byte != b'?').any(|&byte| byte == b'%')
}

/// Escapes the blanks of a URI built from decoded text, which would end it in the request line.
/// Returns whether it has a control byte, which makes it unusable.
fn escape_blanks(out: &mut Vec<u8>, start: usize) -> bool {
    if out[start..].contains(&b' ') {
        let uri = out.split_off(start);
        for byte in uri {
            match byte {
                b' ' => out.extend_from_slice(b"%20"),
                _ => out.push(byte),
            }
        }
    }
    out[start..].iter().any(u8::is_ascii_control)
}

impl Protocol for Http1 {
    /// HTTP/1.0 cannot frame a body of unknown length, so that one is read in advance.
    fn wants(&self, request: &Request) -> Wanted {
        let proxy = self.location.settings.get(&PROXY);
        let streams = proxy.set_body.is_none()
            && super::transfer(&self.location).pass_request_body
            && (!request.body.chunked || super::version(proxy) >= Version::HTTP_11);
        if streams { Wanted::AsSet } else { Wanted::Whole }
    }

    fn write_head(
        &mut self,
        request: &mut Request,
        target: &Target,
        out: &mut Vec<u8>,
    ) -> Result<Outgoing, Rejection> {
        let location = self.location.clone();
        let proxy = location.settings.get(&PROXY);
        let set_body = proxy.set_body.as_ref().map(|template| request.eval(template));
        let (plan, outgoing) = self.plan_body(request, set_body.as_deref());
        self.write_method(request, proxy.method.as_ref(), out)?;
        out.push(b' ');
        let uri_start = out.len();
        let intact = Self::write_uri(request, target, out);
        if !intact && escape_blanks(out, uri_start) {
            request.log(Level::Error, "URI for upstream contains control characters");
            return Err(Rejection::BAD_REQUEST);
        }
        let uri = uri_start..out.len();
        out.extend_from_slice(match super::version(proxy) >= Version::HTTP_11 {
            true => b" HTTP/1.1\r\n",
            false => b" HTTP/1.0\r\n",
        });
        let Some(fields) = &proxy.fields else { return Err(Rejection::INTERNAL) };
        let version = super::version(proxy);
        Self::write_host(request, &target.place.host, fields.host.as_ref(), version, out);
        let passes = crate::modules::proxy::transfer(&location).pass_request_headers;
        self.upgrade = fields.write(request, plan, passes, out);
        out.extend_from_slice(b"\r\n");
        if let Some(body) = set_body {
            out.extend_from_slice(&body);
        }
        Ok(Outgoing { uri, body: outgoing })
    }

    fn read_head(
        &mut self,
        input: &[u8],
        headers: &mut Headers,
        into: &mut UpstreamHead,
    ) -> Result<bool, InvalidHead> {
        let transfer = super::transfer(&self.location);
        let size = transfer.buffer_size.0 as usize;
        let length = match self.parser.advance(input, size) {
            Ok(Some(length)) => length,
            Ok(None) => return Ok(false),
            Err(error) => return Err(InvalidHead(error.message(input))),
        };
        self.parser.give_lines(&input[..length], headers);
        let head = self.parser.head();
        let upgraded = head.status == 101 && self.upgrade;
        if head.status == 101 && !upgraded {
            return Err(InvalidHead("upstream sent unexpected \"101\" response".into()));
        }
        let body = match head.framing(self.head) {
            _ if upgraded => BodyReader::None,
            Framing::None => BodyReader::None,
            Framing::Length(length) => BodyReader::Length(length),
            Framing::Chunked => BodyReader::Chunked(Box::default()),
            Framing::UntilClose => BodyReader::Close,
        };
        let reusable = !matches!(body, BodyReader::Close)
            && !head.close
            && !self.connect
            && (head.version >= Version::HTTP_11 || says_keepalive(headers));
        *into = UpstreamHead {
            status: head.status,
            status_line: unusual(head.status, head.status_line.of(input)),
            body,
            length,
            reusable,
            upgraded,
            complete: false,
            encoding: None,
            notes: match head.duplicates.is_empty() {
                true => Vec::new(),
                false => duplicates(head, headers, input),
            },
        };
        Ok(true)
    }

    /// The scheme, the host and the URI of the request as it is sent.
    fn default_key(&self, request: &mut Request, target: &Target, out: &mut Vec<u8>) {
        out.extend_from_slice(target.scheme.text.as_bytes());
        out.extend_from_slice(target.place.host.as_bytes());
        Self::write_uri(request, target, out);
    }

    fn reset(&mut self) {
        self.parser.reset();
    }

    fn redirect(&self, request: &mut Request, value: &[u8]) -> Option<Vec<u8>> {
        rewrite::redirect(&self.location, request, value)
    }

    fn cookie(&self, request: &mut Request, value: &[u8]) -> Option<Vec<u8>> {
        rewrite::cookie(&self.location, request, value)
    }
}

/// Whether an HTTP/1.0 response asks to keep the connection.
fn says_keepalive(headers: &Headers) -> bool {
    headers.get(Known::Connection).is_some_and(|value| {
        value
            .split(|&b| b == b',')
            .any(|word| word.trim_ascii().eq_ignore_ascii_case(b"keep-alive"))
    })
}
