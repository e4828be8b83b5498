//! Answers from the cache: the head as if it came from the upstream, and the body from memory or
//! from the file.

use std::rc::Rc;

use weir_engine::error_log::Level;
use weir_wire::h1::Method;
use weir_wire::header::Known;

use super::opened::Opened;
use super::rfc9111::shown;
use super::shown::Status;
use crate::errors::Cause;
use crate::module::Verdict;
use crate::pass::body::BodyReader;
use crate::pass::course::Pass;
use crate::pass::headers;
use crate::pass::protocol::UpstreamHead;
use crate::request::Request;

/// The number of queued bytes above which the next block waits for the client.
const QUEUE_LIMIT: u64 = 128 * 1024;

/// Sends a small response at once; None if it is not in memory.
pub(super) fn at_once(
    request: &mut Request,
    pass: &Pass<'_>,
    opened: &Opened,
    status: Status,
) -> Option<Verdict> {
    let body = opened.memory()?;
    if let Err(verdict) = begin(request, pass, opened, status) {
        return Some(verdict);
    }
    Some(match request.push_last(Some(body)) {
        Ok(()) => Verdict::Done,
        Err(_) => Verdict::Abort,
    })
}

/// Sends a response.
pub(super) async fn send(
    request: &mut Request,
    pass: &Pass<'_>,
    opened: &Opened,
    status: Status,
) -> Verdict {
    if let Some(verdict) = at_once(request, pass, opened, status) {
        return verdict;
    }
    if let Err(verdict) = begin(request, pass, opened, status) {
        return verdict;
    }
    let Ok(aio) = request.aio() else { return Verdict::Abort };
    request.client.set_aio(aio);
    let (file, body) = opened.file();
    let sent = match request.response.header_only || opened.is_checked() {
        true => request.send_file_body(file, body).await,
        false => send_checked(request, opened).await,
    };
    match sent {
        Ok(()) => Verdict::Done,
        Err(error) => {
            if error.kind() == std::io::ErrorKind::InvalidData {
                request.blame(Cause::Internal);
                let key = weir_wire::shown(&opened.head.key);
                let message = format!("cached response of \"{key}\" is damaged, cut short");
                request.log(Level::Crit, &message);
                opened.discard();
            }
            request.keepalive = false;
            Verdict::Abort
        }
    }
}

/// Sends the head.
fn begin(
    request: &mut Request,
    pass: &Pass<'_>,
    opened: &Opened,
    status: Status,
) -> Result<(), Verdict> {
    request.attempts.cache.status = Some(status);
    request.attempts.headers = Rc::clone(&opened.fields);
    let fields = &opened.fields;
    let body = match opened.head.body {
        // The response to a HEAD announces the length of the body that GET would have. To a GET it
        // is cut short, as with nginx; a key with the method avoids that.
        0 if fields.get(Known::ContentLength).is_some_and(|length| length != b"0") => {
            let has_body = request.method != Method::Head && opened.head.status == 200;
            request.keepalive &= !has_body;
            BodyReader::None
        }
        length => BodyReader::Length(length),
    };
    let status_line = opened.head.status_line.clone();
    let mut head =
        UpstreamHead { status: opened.head.status, status_line, body, ..UpstreamHead::default() };
    headers::process(request, pass, &mut head)?;
    judge_conditions(request, pass, true);
    if request.attempts.cache.demands.is_some() {
        shown::complete(request, opened);
    }
    opened.counters.count(status, opened.head.body);
    request.send_head().map_err(Into::into)
}

/// Has the conditions and ranges of the client judged here, because the upstream was asked without
/// them. Of a response that is still coming, a single range can be sent.
pub(crate) fn judge_conditions(request: &mut Request, pass: &Pass<'_>, is_kept: bool) {
    let response = &mut request.response;
    response.disable_not_modified = false;
    if response.headers.contains(Known::AcceptRanges) {
        response.headers.remove(Known::AcceptRanges);
        response.allow_ranges = true;
        response.single_range = true;
    }
    if is_kept && (response.allow_ranges || pass.settings.force_ranges) {
        response.single_range = false;
    }
}

/// Sends the body block by block, each of which is compared with its sum before.
async fn send_checked(request: &mut Request, opened: &Opened) -> std::io::Result<()> {
    for block in 0..opened.blocks() {
        let piece = opened.block(request, block).await?;
        request.push(piece)?;
        if request.client.queued() > QUEUE_LIMIT {
            request.client.flush().await?;
        }
    }
    request.send_last(None).await
}
