//! HTTP/1.x to upstreams, as a [`Protocol`].

use std::sync::Arc;

use weir_engine::error_log::Level;
use weir_script::Template;
use weir_wire::h1::{Framing, Version};
use weir_wire::header::{Headers, Known};

use super::outgoing::{escape_blanks, in_chunks, plan_body, write_method, write_uri};
use super::{PROXY, rewrite};
use crate::field::clean;
use crate::pass::body::BodyReader;
use crate::pass::fields::OfClient;
use crate::pass::head_lines::{duplicates, unusual};
use crate::pass::protocol::{InvalidHead, Outgoing, OutgoingBody, Protocol, UpstreamHead, Wanted};
use crate::pass::target::Target;
use crate::rejection::Rejection;
use crate::request::Request;
use crate::request::spare;
use crate::route::Location;
use crate::snapshot::Held;

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
        let transfer = super::transfer(&location);
        let (mut plan, mut outgoing) = plan_body(&location, request, set_body.as_deref());
        if transfer.pass_request_trailers
            && request.body.trailers.is_some()
            && matches!(outgoing, OutgoingBody::Plain)
            && super::version(proxy) >= Version::HTTP_11
        {
            (plan, outgoing) = in_chunks(request);
        }
        let start = out.len();
        write_method(request, proxy.method.as_ref(), out)?;
        self.head = out[start..].eq_ignore_ascii_case(b"HEAD");
        self.connect = proxy.method.is_some() && out[start..].eq_ignore_ascii_case(b"CONNECT");
        out.push(b' ');
        let uri_start = out.len();
        let intact = write_uri(request, target, out);
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
        let of_client = OfClient::all_if(transfer.pass_request_headers);
        self.upgrade = fields.write(request, plan, of_client, out);
        let trailers = transfer.pass_request_trailers.then(|| Arc::clone(fields) as _);
        out.extend_from_slice(b"\r\n");
        if let Some(body) = set_body {
            out.extend_from_slice(&body);
        }
        Ok(Outgoing { uri, body: outgoing, trailers })
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
                false => duplicates(&head.duplicates, headers, input),
            },
        };
        Ok(true)
    }

    /// The scheme, the host and the URI of the request as it is sent.
    fn default_key(&self, request: &mut Request, target: &Target, out: &mut Vec<u8>) {
        out.extend_from_slice(target.scheme.text.as_bytes());
        out.extend_from_slice(target.place.host.as_bytes());
        write_uri(request, target, out);
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
