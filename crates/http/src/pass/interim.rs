//! Interim responses: 103 is passed on to clients that may get it, others end here (RFC 8297;
//! nginx: `early_hints`).

use weir_engine::error_log::Level;
use weir_wire::h1::Version;
use weir_wire::header::Known;

use super::course::Pass;
use super::protocol::UpstreamHead;
use crate::core::REDIRECT;
use crate::request::Request;
use crate::response::Sent;

/// The maximum number of interim responses before a response.
pub(crate) const MOST: usize = 100;

const EARLY_HINTS: u16 = 103;

/// Passes an interim response on, if it is for the client.
pub(crate) fn pass_on(request: &mut Request, pass: &Pass<'_>, head: &UpstreamHead) {
    if head.status != EARLY_HINTS || !may_have(request) {
        return;
    }
    request.attempts.hints += head.length as u64;
    if request.attempts.hints > pass.settings.buffer_size.0 {
        return request.log_upstream(Level::Info, "upstream sent too big early hints");
    }
    let location = request.location.clone();
    if !location.settings.get(&REDIRECT).early_hints.any(request) {
        return;
    }
    let hidden = &pass.settings.hidden;
    let headers = std::mem::take(&mut request.attempts.headers);
    let is_shown = |&(name, _, known): &(&[u8], &[u8], Known)| !hidden.has(name, known);
    if headers.iter().any(|line| is_shown(&line)) {
        let shown = headers.iter().filter(is_shown);
        request.client.queue_early_hints(shown.map(|(name, value, _)| (name, value)));
    }
    request.attempts.headers = headers;
}

/// Whether the client may get early hints.
fn may_have(request: &Request) -> bool {
    !request.is_subrequest()
        && request.response.sent == Sent::Nothing
        && request.head.version >= Version::HTTP_11
}
