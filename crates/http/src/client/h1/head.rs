//! Writing the head of a response (nginx: `ngx_http_header_filter`), in nginx's order.

use std::sync::Arc;

use weir_engine::buffer::{self, Buf};
use weir_wire::h1::Version;
use weir_wire::header::Known;

use crate::core::ServerTokens;
use crate::field;
use crate::piece::Piece;
use crate::request::Request;
use crate::serve::SERVER_NAME;

/// Room for a usual head, so that writing it never grows the buffer.
const USUAL_HEAD: usize = 1024;

/// Queues the head of the response, and settles how the body is framed.
pub(in crate::client) fn queue_head(request: &mut Request) {
    if request.head.version < Version::HTTP_10 {
        request.keepalive = false;
        return;
    }
    settle_framing(request);
    if request.keepalive && request.snapshot.is_draining() {
        request.keepalive = false;
    }
    let mut out = buffer::take(USUAL_HEAD);
    status_line(request, &mut out);
    server_and_date(request, &mut out);
    entity(request, &mut out);
    let relative = location(request, &mut out);
    connection(request, &mut out);
    if relative && let Some(target) = &request.response.location {
        line(&mut out, b"Location", target);
    }
    debug_assert!(request.response.headers.iter().all(|(_, value, _)| field::is_clean(value)));
    request.response.headers.write_to(&mut out);
    out.extend_from_slice(b"\r\n");
    request.response.head_size = out.len() as u64;
    request.client.push(Piece::from(out));
}

/// Decides between a length, chunks, and the end of the connection
/// (ngx_http_chunked_header_filter).
fn settle_framing(request: &mut Request) {
    let response = &mut request.response;
    if response.status == 204 {
        response.content_length = None;
        response.headers.remove(Known::ContentLength);
        // That of an upstream keeps what it says of a type.
        if response.status_line.is_none() {
            response.content_type.clear();
            response.last_modified = None;
        }
    }
    if !matches!(response.status, 200 | 206 | 304) {
        response.last_modified = None;
    }
    let bodiless = response.header_only
        || matches!(response.status, 204 | 304)
        || response.status < 200
        || request.method == weir_wire::h1::Method::Head
        || request.method == weir_wire::h1::Method::Connect && response.status / 100 == 2;
    let trailers = response.expect_trailers || !response.trailers.is_empty();
    if bodiless || (response.content_length.is_some() && !trailers) {
        return;
    }
    if request.head.version >= Version::HTTP_11
        && request.location.usual.connection.chunked_transfer_encoding
    {
        if trailers {
            request.response.content_length = None;
            request.response.headers.remove(Known::ContentLength);
        }
        request.response.chunked = true;
    } else if request.response.content_length.is_none() {
        request.keepalive = false;
    }
}

fn status_line(request: &Request, out: &mut Buf) {
    let status = request.response.status;
    if status == 200 && request.response.status_line.is_none() {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    match (&request.response.status_line, reason(status)) {
        (Some(line), _) => out.extend_from_slice(line),
        (None, Some(line)) => out.extend_from_slice(line),
        (None, None) => {
            number(out, u64::from(status), 3);
            out.push(b' ');
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn server_and_date(request: &Request, out: &mut Buf) {
    if !request.response.passes_server {
        out.extend_from_slice(b"Server: ");
        out.extend_from_slice(match request.location.usual.redirect.server_tokens {
            ServerTokens::On => SERVER_NAME.full.as_bytes(),
            ServerTokens::Build => SERVER_NAME.build.as_bytes(),
            ServerTokens::Off => SERVER_NAME.short.as_bytes(),
        });
        out.extend_from_slice(b"\r\n");
    }
    if !request.response.passes_date {
        line(out, b"Date", &weir_engine::clock::http_date());
    }
}

/// The fields that describe the body.
fn entity(request: &Request, out: &mut Buf) {
    let response = &request.response;
    if !response.content_type.is_empty() {
        out.extend_from_slice(b"Content-Type: ");
        out.extend_from_slice(&response.content_type);
        if !response.charset.is_empty() {
            out.extend_from_slice(b"; charset=");
            out.extend_from_slice(&response.charset);
        }
        out.extend_from_slice(b"\r\n");
    }
    if let Some(length) = response.content_length {
        out.extend_from_slice(b"Content-Length: ");
        number(out, length, 1);
        out.extend_from_slice(b"\r\n");
    }
    if let Some(time) = response.last_modified
        && !response.headers.contains(Known::LastModified)
    {
        out.extend_from_slice(b"Last-Modified: ");
        weir_wire::date::http(time, out);
        out.extend_from_slice(b"\r\n");
    }
}

/// `Location`, made absolute for a path unless `absolute_redirect off`. Whether there is one that
/// is to be sent as it is, which nginx does with the other fields.
fn location(request: &mut Request, out: &mut Buf) -> bool {
    let Some(mut target) = request.response.location.take() else { return false };
    field::escape_address(&mut target);
    let redirect = Arc::clone(&request.location.usual.redirect);
    if target.first() != Some(&b'/') || !redirect.absolute_redirect {
        request.response.location = Some(target);
        return true;
    }
    let mut absolute: Vec<u8> = match request.info.tls {
        Some(_) => b"https://".to_vec(),
        None => b"http://".to_vec(),
    };
    if redirect.server_name_in_redirect {
        absolute.extend_from_slice(&request.server.name);
    } else if !request.head.host.is_empty() {
        absolute.extend_from_slice(&request.head.host);
    } else {
        request.info.local.write_ip(&mut absolute);
    }
    let usual = if request.info.tls.is_some() { 443 } else { 80 };
    if let Some(port) = request.info.local.port()
        && redirect.port_in_redirect
        && port != usual
    {
        absolute.push(b':');
        number(&mut absolute, u64::from(port), 1);
    }
    absolute.extend_from_slice(&target);
    line(out, b"Location", &absolute);
    request.response.location = Some(absolute);
    false
}

/// The fields of this hop.
fn connection(request: &Request, out: &mut Buf) {
    if request.response.chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if request.response.status == 101 {
        out.extend_from_slice(b"Connection: upgrade\r\n");
    } else if request.keepalive {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
        let settings = &request.location.usual.connection;
        if let Some(seconds) = settings.keepalive_timeout.header {
            out.extend_from_slice(b"Keep-Alive: timeout=");
            number(out, seconds, 1);
            out.extend_from_slice(b"\r\n");
        }
    } else {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    if request.response.vary_accept_encoding {
        out.extend_from_slice(b"Vary: Accept-Encoding\r\n");
    }
}

fn line(out: &mut Buf, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// A decimal number of at least `width` digits.
fn number(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    while value > 0 || digits.len() - start < width {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&digits[start..]);
}

/// nginx's status lines; a status without one is written as its number and a space.
pub(crate) fn reason(status: u16) -> Option<&'static [u8]> {
    let line: &'static str = match status {
        100 => "100 Continue",
        101 => "101 Switching Protocols",
        200 => "200 OK",
        201 => "201 Created",
        202 => "202 Accepted",
        204 => "204 No Content",
        206 => "206 Partial Content",
        301 => "301 Moved Permanently",
        302 => "302 Moved Temporarily",
        303 => "303 See Other",
        304 => "304 Not Modified",
        307 => "307 Temporary Redirect",
        308 => "308 Permanent Redirect",
        400 => "400 Bad Request",
        401 => "401 Unauthorized",
        402 => "402 Payment Required",
        403 => "403 Forbidden",
        404 => "404 Not Found",
        405 => "405 Not Allowed",
        406 => "406 Not Acceptable",
        407 => "407 Proxy Authentication Required",
        408 => "408 Request Time-out",
        409 => "409 Conflict",
        410 => "410 Gone",
        411 => "411 Length Required",
        412 => "412 Precondition Failed",
        413 => "413 Request Entity Too Large",
        414 => "414 Request-URI Too Large",
        415 => "415 Unsupported Media Type",
        416 => "416 Requested Range Not Satisfiable",
        421 => "421 Misdirected Request",
        429 => "429 Too Many Requests",
        500 => "500 Internal Server Error",
        501 => "501 Not Implemented",
        502 => "502 Bad Gateway",
        503 => "503 Service Temporarily Unavailable",
        504 => "504 Gateway Time-out",
        505 => "505 HTTP Version Not Supported",
        507 => "507 Insufficient Storage",
        _ => return None,
    };
    Some(line.as_bytes())
}
