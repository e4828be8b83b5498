//! Responses over HTTP/2, whatever the protocol above it.

use weir_script::Template;
use weir_wire::field_block::FieldBlock;
use weir_wire::h2::response::read_head;
use weir_wire::header::{Headers, Known, has_item};

use super::body::{BodyReader, StreamBody};
use super::destination::Scheme;
use super::head_lines::duplicates;
use super::protocol::{InvalidHead, UpstreamHead};
use crate::field::clean;
use crate::request::Request;

/// Reads the head of a response. `answers_head`: the request was a HEAD, whose response has no
/// body.
///
/// # Errors
/// The fields are not those of a response.
pub(crate) fn read_fields(
    answers_head: bool,
    block: &mut FieldBlock,
    ended: bool,
    headers: &mut Headers,
    into: &mut UpstreamHead,
) -> Result<(), InvalidHead> {
    let length = block.size();
    let head =
        read_head(block, headers).map_err(|error| InvalidHead(error.message(headers.arena())))?;
    let has_body = !answers_head && !matches!(head.status, 204 | 304);
    if has_body && ended && head.content_length.is_some_and(|length| length > 0) {
        return Err(InvalidHead(super::body::STREAM_CUT.into()));
    }
    let notes = match head.duplicates.is_empty() {
        true => Vec::new(),
        false => duplicates(&head.duplicates, headers, headers.arena()),
    };
    let body = match has_body {
        false => BodyReader::None,
        true => {
            // Without a body, the length is known even if it is not announced.
            let left = if ended { Some(0) } else { head.content_length };
            BodyReader::Stream(StreamBody { left, ended })
        }
    };
    let status = head.status;
    *into = UpstreamHead { status, body, length, notes, ..UpstreamHead::default() };
    Ok(())
}

/// The start of the line of the method, which comes first.
pub(crate) const METHOD: &[u8] = b":method: ";

/// The start of the line of the path.
pub(crate) const PATH: &[u8] = b"\r\n:path: ";

/// Ends the line before, and writes that of the scheme.
pub(crate) fn write_scheme(scheme: Scheme, out: &mut Vec<u8>) {
    let scheme: &[u8] = if scheme.tls { b"https" } else { b"http" };
    out.extend_from_slice(b"\r\n:scheme: ");
    out.extend_from_slice(scheme);
}

/// Ends the line before, and writes that of the authority: `set`, unless it is empty, or `host`.
pub(crate) fn write_authority(
    request: &mut Request,
    set: Option<&Template>,
    host: &str,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"\r\n:authority: ");
    let start = out.len();
    if let Some(template) = set {
        template.eval(request, out);
    }
    if out.len() == start {
        out.extend_from_slice(host.as_bytes());
    }
    clean(out, start);
    out.extend_from_slice(b"\r\n");
}

/// Whether the client accepts trailers, by `TE`.
pub(crate) fn accepts_trailers(request: &Request) -> bool {
    let accepts = |(_, value, known): (&[u8], &[u8], Known)| {
        known == Known::Te && has_item(value, b"trailers", b',')
    };
    request.head.iter().any(accepts)
}
