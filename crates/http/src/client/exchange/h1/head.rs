//! Writing the head of a response as text, and deciding on the framing of its body.

use weir_engine::buffer::{self, Buf};
use weir_wire::h1::Version;
use weir_wire::header::{Headers, Known};

use super::reason::reason;
use crate::client::Client;
use crate::client::head::{self, HeadWriter, Name, Reply, number};
use crate::piece::Piece;
use crate::response::Response;

/// The capacity for a usual head, so that writing one never grows the buffer.
const USUAL_HEAD: usize = 1024;

/// Queues the head of the response, and decides on the framing of the body.
#[inline]
pub(in crate::client) fn queue_head(client: &mut Client, mut reply: Reply<'_>) {
    if reply.version < Version::HTTP_10 {
        *reply.keepalive = false;
        return;
    }
    settle_framing(&mut reply);
    let mut out = Text(buffer::take(USUAL_HEAD));
    status_line(reply.response, &mut out.0);
    head::write(&mut reply, &mut out, connection);
    let Text(mut out) = out;
    out.extend_from_slice(b"\r\n");
    reply.response.head_size = out.len() as u64;
    client.push(Piece::from(out));
}

/// A writer of lines of text.
struct Text(Buf);

impl HeadWriter for Text {
    #[inline]
    fn name(&mut self, name: Name) {
        self.0.extend_from_slice(name.line.as_bytes());
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
fn settle_framing(reply: &mut Reply<'_>) {
    let bodiless = head::settle(reply);
    let response = &mut *reply.response;
    let trailers = response.expect_trailers || !response.trailers.is_empty();
    if bodiless || (response.content_length.is_some() && !trailers) {
        return;
    }
    if reply.version >= Version::HTTP_11 && reply.connection.chunked_transfer_encoding {
        if trailers {
            response.content_length = None;
            response.headers.remove(Known::ContentLength);
        }
        response.chunked = true;
    } else if response.content_length.is_none() {
        *reply.keepalive = false;
    }
}

fn status_line(response: &Response, out: &mut Buf) {
    let status = response.status;
    if status == 200 && response.status_line.is_none() {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    match (&response.status_line, reason(status)) {
        (Some(line), _) => out.extend_from_slice(line),
        (None, Some(line)) => out.extend_from_slice(line),
        (None, None) => {
            number(out, u64::from(status), 3);
            out.push(b' ');
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the hop-by-hop fields.
#[inline]
fn connection(reply: &Reply<'_>, out: &mut Text) {
    let Text(out) = out;
    if reply.response.chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if reply.response.status == 101 {
        out.extend_from_slice(b"Connection: upgrade\r\n");
    } else if *reply.keepalive {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
        if let Some(seconds) = reply.connection.keepalive_timeout.header {
            out.extend_from_slice(b"Keep-Alive: timeout=");
            number(out, seconds, 1);
            out.extend_from_slice(b"\r\n");
        }
    } else {
        out.extend_from_slice(b"Connection: close\r\n");
    }
}
