//! HTTP/1 connections: heads in, requests through the phases, connections kept or closed.
//!
//! ```text
//!  accepted ─▶ open (PROXY header, TLS) ─▶ head ─▶ request ─▶ log ─┬─▶ linger ─▶ closed
//!                                           ▲                      │
//!                                           └──────── idle ◀───────┘
//! ```

use std::rc::Rc;

use weir_engine::connection::Conn;
use weir_engine::error_log::Level;
use weir_engine::stats;
use weir_wire::h1::{Connection as Wish, Framing, RequestParser, Version};
use weir_wire::header::Known;

use crate::body::Body;
use crate::client::{Client, Link, Sink};
use crate::core::{CONNECTION, LIMITS};
use crate::head::Head;
use crate::module::Verdict;
use crate::phase;
use crate::request::{ConnectionInfo, Request};
use crate::serve::Service;

mod head;
mod idle;
mod linger;
mod open;
mod read;

pub use idle::IdleConnections;

pub(crate) use head::{queue_head, reason};

/// Serves a connection from its first byte to its last.
pub(crate) async fn serve(service: Rc<Service>, conn: Conn, key: Rc<str>) {
    let Some((link, info)) = open::open(&service, conn, &key).await else { return };
    requests(service, link, info, key, 1).await;
}

/// Serves one request after the other.
async fn requests(
    service: Rc<Service>,
    mut link: Box<Link>,
    info: Rc<ConnectionInfo>,
    key: Rc<str>,
    mut number: u64,
) {
    let mut parser = RequestParser::new();
    let mut gauge = stats::Gauged::new(stats::Gauge::Reading);
    loop {
        let snapshot = service.snapshot();
        let Some(endpoint) = snapshot.endpoint(&key, &info) else { return };
        let outcome =
            read::head(&service, &mut link, &mut parser, &endpoint, &mut gauge, number > 1);
        let read::Outcome { server, captures, result } = outcome.await;
        let result = match result {
            Ok(result) => result,
            // Nothing was asked, so there is nobody to answer and nothing to log.
            Err(read::Gone) => return,
        };
        gauge.set(stats::Gauge::Writing);
        stats::count_request();
        let (length, fault) = match result {
            read::Head::Complete(length) => (length, None),
            read::Head::Faulty(fault) => (link.input.len(), Some(fault)),
        };
        let bytes = crate::body::split_front(&mut link.input, length);
        let found = parser.take_head();
        let head = Rc::new(Head::new(bytes, found));
        let client = Client::new(Sink::Link(link));
        let mut request = Request::new(snapshot, server, Rc::clone(&info), head, client);
        request.number = number;
        if let Some(matched) = captures {
            matched.apply(&mut request);
        }
        match fault {
            None => {
                begin(&service, &mut request);
                match prepare_uri(&mut request) {
                    None => phase::run(&mut request).await,
                    Some(verdict) => phase::finalize(&mut request, verdict).await,
                }
            }
            Some(fault) => {
                fault.log(&request);
                request.keepalive = false;
                request.response.lingers = fault.lingers;
                phase::finalize(&mut request, Verdict::Status(fault.status)).await;
            }
        }
        let Some(next) = end(&service, request).await else { return };
        let (kept, head) = next;
        link = kept;
        if let Ok(head) = Rc::try_unwrap(head) {
            parser.restore(head.into_found());
        } else {
            parser.reset();
        }
        gauge.set(stats::Gauge::Waiting);
        number += 1;
    }
}

/// Settles what the head says about body and connection (ngx_http_process_request_header,
/// ngx_http_handler).
fn begin(service: &Service, request: &mut Request) {
    let head = Rc::clone(&request.head);
    request.length = head.length as u64;
    request.body = match head.framing {
        Framing::None | Framing::UntilClose => Body::default(),
        Framing::Length(length) => Body::length(length),
        Framing::Chunked => Body::chunked(),
    };
    let settings = request.get(&CONNECTION);
    let asks = match head.connection {
        Wish::Close => false,
        Wish::KeepAlive => true,
        Wish::Unsaid => head.version >= Version::HTTP_11,
    };
    let keepalive = asks
        && head.version >= Version::HTTP_10
        && !settings.keepalive_timeout.idle.is_zero()
        && request.number < u64::from(settings.keepalive_requests)
        && !service.is_quitting();
    request.keepalive = keepalive;
    request.body.timeout = request.get(&LIMITS).client_body_timeout.0;
    request.body.expects_continue = head.version >= Version::HTTP_11
        && head.get(Known::Expect).is_some_and(|v| v.eq_ignore_ascii_case(b"100-continue"));
}

/// Fills in the path and the arguments; a path that cannot be is a 400.
fn prepare_uri(request: &mut Request) -> Option<Verdict> {
    let merge = request.get(&LIMITS).merge_slashes;
    let head = Rc::clone(&request.head);
    let mut uri = std::mem::take(&mut request.uri);
    uri.clear();
    let verdict = match head.path(merge, &mut uri) {
        Ok(args) => {
            request.args.extend_from_slice(args.unwrap_or_default());
            None
        }
        Err(_) => {
            request.log(Level::Info, "client sent invalid request");
            Some(Verdict::Status(400))
        }
    };
    request.uri = uri;
    verdict
}

/// Logs the request and decides about its connection: Some when it can take another.
async fn end(service: &Service, mut request: Request) -> Option<(Box<Link>, Rc<Head>)> {
    phase::log(&mut request).await;
    let keep = request.keepalive && !request.upgraded && !service.is_quitting();
    if !keep {
        linger::close(request).await;
        return None;
    }
    if !request.body.is_done() && !linger::discard(&mut request).await {
        linger::close(request).await;
        return None;
    }
    match request.retire() {
        (Sink::Link(link), head) => Some((link, head)),
        _ => None,
    }
}

/// Queues what ends a body: the last chunk and the trailers.
pub(crate) fn queue_end(request: &mut Request) {
    if !request.response.chunked {
        return;
    }
    if request.response.trailers.is_empty() {
        return request.client.push(crate::piece::Piece::Static(b"0\r\n\r\n"));
    }
    let mut out = weir_engine::buffer::take(256);
    out.extend_from_slice(b"0\r\n");
    for (name, value, _) in request.response.trailers.iter() {
        for part in [name, b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
    request.client.push(out.into());
}

/// Tells a waiting client to go on with its body (RFC 9110 section 10.1.1).
pub(crate) fn queue_continue(request: &mut Request) {
    if std::mem::take(&mut request.body.expects_continue) {
        request.client.push(crate::piece::Piece::Static(b"HTTP/1.1 100 Continue\r\n\r\n"));
    }
}
