//! Writing the head of a response as text, and settling how its body is framed.

use weir_engine::buffer::{self, Buf};
use weir_wire::h1::Version;
use weir_wire::header::{Headers, Known};

use super::reason::reason;
use crate::client::head::{self, HeadWriter, number};
use crate::piece::Piece;
use crate::request::Request;

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
    let mut out = Text(buffer::take(USUAL_HEAD));
    status_line(request, &mut out.0);
    head::write(request, &mut out, connection);
    let Text(mut out) = out;
    out.extend_from_slice(b"\r\n");
    request.response.head_size = out.len() as u64;
    request.client.push(Piece::from(out));
}

/// Lines of text.
struct Text(Buf);

impl HeadWriter for Text {
    #[inline]
    fn name(&mut self, name: &'static str) {
        self.0.extend_from_slice(name.as_bytes());
    }

    #[inline]
    fn value(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    #[inline]
    fn end(&mut self) {
        self.0.extend_from_slice(b"\r\n");
    }

    #[inline]
    fn fields(&mut self, fields: &Headers) {
        fields.write_to(&mut self.0);
    }
}

/// Decides between a length, chunks, and the end of the connection
/// (ngx_http_chunked_header_filter).
fn settle_framing(request: &mut Request) {
    let bodiless = head::settle(request);
    let response = &request.response;
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

/// The fields of this hop.
fn connection(request: &Request, out: &mut Text) {
    let Text(out) = out;
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
}
