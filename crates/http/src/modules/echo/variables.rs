//! The variables of `echo`.

use std::io::Write;

use super::run::PROGRESS;
use crate::request::{Request, State};

fn found(value: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(value);
    true
}

/// `$echo_timer_elapsed`: seconds since the request began, or since the timer was reset.
pub(super) fn timer_elapsed(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let since = request.state(&PROGRESS).timer.unwrap_or(request.start);
    let elapsed = since.elapsed();
    write!(out, "{}.{:03}", elapsed.as_secs(), elapsed.subsec_millis()).is_ok()
}

/// `$echo_request_method`: the method of this request or subrequest.
pub(super) fn request_method(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    found(request.method_name(), out)
}

/// `$echo_client_request_method`.
pub(super) fn client_request_method(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    found(request.head.method_text(), out)
}

/// `$echo_request_uri`: the path of this request or subrequest, decoded.
pub(super) fn request_uri(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    !request.uri.is_empty() && found(&request.uri, out)
}

/// `$echo_request_body`: the body, if it has been read and is in memory.
pub(super) fn request_body(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let Some(content) = &request.body.content else { return false };
    content.file.is_none() && content.len > 0 && found(&content.memory, out)
}

/// `$echo_client_request_headers`: the head of the client's request.
pub(super) fn client_request_headers(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(request.head.request_line());
    out.extend_from_slice(b"\r\n");
    for (name, value, _) in request.head.iter() {
        for part in [name, b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    found(b"\r\n", out)
}

/// `$echo_it`: the part in turn of a repetition.
pub(super) fn it(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let progress = request.state(&PROGRESS);
    progress.parts.get(progress.part).is_some_and(|part| found(part, out))
}

static COUNT: State<u64> = State::new(|| 0);

/// `$echo_incr`: how often it has been asked for in the client's request.
pub(super) fn incr(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let count = request.with_main(&COUNT, |count| {
        *count += 1;
        *count
    });
    write!(out, "{count}").is_ok()
}

/// `$echo_response_status`: the status, once it is set.
pub(super) fn response_status(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let status = request.response.status;
    status != 0 && write!(out, "{status}").is_ok()
}
