//! Handling of a complete head in any protocol: the request is refused, or taken through the
//! phases.

use std::rc::Rc;

use weir_engine::error_log::Level;
use weir_wire::h1::Method;
use weir_wire::request::Version;

use super::choose;
use super::fault::HeadFault;
use crate::core::LIMITS;
use crate::errors::Cause;
use crate::module::Verdict;
use crate::phase;
use crate::request::Request;
use crate::route::Endpoint;
use crate::snapshot::Held;
use crate::tls::status;

/// Takes a request with a complete head through the phases; `last` if it is the connection's last.
pub(super) async fn answer(request: &mut Request, endpoint: &Held<Endpoint>, last: bool) {
    if !fill_uri(request, endpoint) {
        return Box::pin(refuse_line(request, endpoint)).await;
    }
    begin(request);
    if request.location.usual.records {
        request.begin_notes();
    }
    request.keepalive &= !last;
    if status::is_to_ask(&request.info) {
        Box::pin(ask_about_client(request, endpoint)).await;
    }
    let refused = match lacking(request) {
        None => read_early(request).await,
        refused => refused,
    };
    match refused {
        None => phase::run(request).await,
        Some(verdict) => Box::pin(phase::finalize(request, verdict)).await,
    }
}

/// Asks OCSP responders about the client of a connection that was made before a reload: only since
/// then does the server ask.
async fn ask_about_client(request: &Request, endpoint: &Endpoint) {
    let limit = request.location.usual.limits.client_header_timeout.0;
    let log = |level: Level, message: &str| {
        request.log(level, &format!("{message} while reading client request headers"));
    };
    status::ask(&request.snapshot, endpoint, &request.info, limit, &log).await;
}

/// The refusal of TRACE, which would show fields of requests to scripts, and of a request whose
/// connection lacks TLS or a certificate.
fn lacking(request: &mut Request) -> Option<Verdict> {
    if request.method == Method::Trace {
        let message = "client sent TRACE method while reading client request headers";
        request.log(Level::Info, message);
        request.keepalive = false;
        return Some(Verdict::Status(405));
    }
    let status = crate::tls::verify::refused(request)?;
    request.keepalive = false;
    Some(Verdict::Status(status))
}

/// Reads the body before the phases, if the server asks for it (`client_body_early_read`).
async fn read_early(request: &mut Request) -> Option<Verdict> {
    let server = request.server.clone();
    let wanted = &server.settings.get(&LIMITS).client_body_early_read;
    if wanted.0.is_empty() || !wanted.any(request) {
        return None;
    }
    if let Some(verdict) = phase::refuse_large_body(request) {
        return Some(verdict);
    }
    Box::pin(request.read_body()).await.err().map(Verdict::from)
}

/// Ends a request with a faulty head. Of two faults, the one in the request line counts.
pub(super) async fn refuse(request: &mut Request, endpoint: &Held<Endpoint>, fault: &HeadFault) {
    if !request.head.target().is_empty() && !fill_uri(request, endpoint) {
        return refuse_line(request, endpoint).await;
    }
    // A line that is too long is shown truncated.
    if fault.status == 414
        && let Some(head) = Rc::get_mut(&mut request.head)
    {
        let size = request.location.usual.limits.large_client_header_buffers.size;
        head.shorten_line(usize::try_from(size).unwrap_or(usize::MAX));
    }
    log_skipped(request);
    fault.log(request);
    if fault.silent {
        request.blame(if fault.timed_out { Cause::ClientTimeout } else { Cause::ClientClosed });
    }
    // What the head says about a body does not count.
    request.body.refuse();
    request.keepalive = false;
    request.response.lingers = fault.lingers;
    request.client.timed_out = fault.timed_out;
    // A client that begins neither as in HTTP/1 nor as in HTTP/2 would not understand a response
    // (RFC 9113 section 3.4).
    let foreign = fault.foreign && request.number == 1 && endpoint.takes_http2(&endpoint.default);
    let silent = fault.silent || foreign;
    let verdict = match silent {
        true => Verdict::Abort,
        false => Verdict::Status(fault.status),
    };
    if silent {
        request.response.status = fault.status;
    }
    phase::finalize(request, verdict).await;
}

/// Logs the dropped lines of the head.
fn log_skipped(request: &Request) {
    let head = &request.head;
    let what = if head.version < Version::HTTP_2 { "header line" } else { "header" };
    for line in &head.skipped {
        let line = weir_wire::shown(line.of(head.bytes()));
        let message =
            format!("client sent invalid {what}: \"{line}\" while reading client request headers");
        request.log(Level::Info, &message);
    }
}

/// Applies what the head says about body and connection (ngx_http_process_request_header,
/// ngx_http_handler).
fn begin(request: &mut Request) {
    log_skipped(request);
    let Request { client, head, body, keepalive, .. } = &mut *request;
    client.begin(head, body, keepalive);
    let limits = &request.location.usual.limits;
    let (max, timeout) = (limits.client_max_body_size.0, limits.client_body_timeout.0);
    (request.body.max_size, request.body.timeout) = (max, timeout);
}

/// Refuses a request whose target is not a path. At that point no host is known, so the server is
/// the one that the connection began with.
async fn refuse_line(request: &mut Request, endpoint: &Held<Endpoint>) {
    let (at, _) = choose::start(endpoint, &request.info);
    let server = Held::map(endpoint, |endpoint| endpoint.server(at));
    request.location = Held::map(&server, |server| &server.location);
    request.server = server;
    if let Some(head) = Rc::get_mut(&mut request.head) {
        request.length = head.keep_line() as u64;
    }
    request.keepalive = false;
    HeadFault::of_target(request.head.version).log(request);
    phase::finalize(request, Verdict::Status(400)).await;
}

/// Sets the path and the arguments; false if the target is not a path. Slashes are merged as the
/// default server says, unless the handshake has chosen a server.
fn fill_uri(request: &mut Request, endpoint: &Endpoint) -> bool {
    let location = match request.info.negotiated {
        None => &endpoint.default.location,
        Some(_) => &request.location,
    };
    let merge = location.usual.limits.merge_slashes;
    let head = Rc::clone(&request.head);
    let mut uri = std::mem::take(&mut request.uri);
    uri.clear();
    let found = head.path(merge, &mut uri);
    match found {
        Ok(args) => request.args.extend_from_slice(args.unwrap_or_default()),
        Err(_) => uri.clear(),
    }
    request.uri = uri;
    found.is_ok()
}
