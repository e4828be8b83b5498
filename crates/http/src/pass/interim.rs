//! Responses before the response: 100 and its like end here, 103 goes on to clients that may have
//! it (RFC 8297; nginx: `early_hints`).

use std::rc::Rc;

use weir_engine::error_log::Level;
use weir_wire::h1::Version;

use super::{Pass, ResponseHead};
use crate::core::REDIRECT;
use crate::piece::Piece;
use crate::request::Request;
use crate::response::Sent;

/// How many of them one response may have before it.
pub const MOST: usize = 100;

const EARLY_HINTS: u16 = 103;

/// Passes an interim response on, if it is one for clients.
pub fn pass_on(request: &mut Request, pass: &Pass<'_>, head: &ResponseHead) {
    if head.status != EARLY_HINTS || !may_have(request) {
        return;
    }
    request.attempts.hints += head.length as u64;
    if request.attempts.hints > pass.settings.buffer_size.0 {
        return request.log_upstream(Level::Info, "upstream sent too big early hints");
    }
    let location = Rc::clone(&request.location);
    if !location.settings.get(&REDIRECT).early_hints.any(request) {
        return;
    }
    let mut out = weir_engine::buffer::take(head.length + 32);
    out.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\n");
    let start = out.len();
    let hidden = &pass.settings.hidden;
    let fields = request.attempts.headers.iter();
    for (name, value, _) in fields.filter(|&(name, _, known)| !hidden.has(name, known)) {
        for part in [name, b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    if out.len() > start {
        out.extend_from_slice(b"\r\n");
        request.client.push(Piece::from(out));
    }
}

/// Whether the client knows what they are.
fn may_have(request: &Request) -> bool {
    !request.is_subrequest()
        && request.response.sent == Sent::Nothing
        && request.head.version == Version::HTTP_11
}
