//! HTTP/1 connections: heads in, requests through the phases, connections kept or closed.
//!
//! ```text
//!  accepted ─▶ open (PROXY header, TLS) ─▶ head ─▶ request ─▶ log ─┬─▶ linger ─▶ closed
//!                                           ▲                      │
//!                                           └──────── idle ◀───────┘
//! ```

use std::rc::Rc;
use std::time::Duration;

use weir_engine::buffer::{self, Buf};
use weir_engine::clock::{self, Instant};
use weir_engine::stats;
use weir_engine::timer::Deadline;
use weir_wire::h1::RequestParser;

use super::answer::{answer, refuse};
use super::choose::Choice;
use super::connection::{FoundEndpoint, end_idle};
use super::fault::HeadFault;
use super::idle::{self, Patience, Wake};
use super::open::Opened;
use super::unended::Unended;
use crate::client::Exchange;
use crate::client::exchange::h1::Link;
use crate::phase;
use crate::request::Request;
use crate::request::connection_info::ConnectionInfo;
use crate::route::Endpoint;
use crate::serve::Service;
use crate::snapshot::Snapshot;

pub(super) mod linger;
pub(super) mod read;

/// Serves a connection that has just been opened.
pub(super) async fn serve(service: Rc<Service>, opened: Opened, key: Rc<str>) {
    let patience = Patience::fresh(opened.until);
    let found = Some((opened.snapshot, opened.endpoint));
    requests(service, Link::new(opened.conn), opened.info, key, 1, patience, found).await;
}

/// Serves requests one after the other.
pub(super) async fn requests(
    service: Rc<Service>,
    mut link: Box<Link>,
    info: Rc<ConnectionInfo>,
    key: Rc<str>,
    mut number: u64,
    mut patience: Patience,
    mut found: Option<FoundEndpoint>,
) {
    let mut parser = RequestParser::new();
    let mut gauge = stats::Gauged::new(stats::Gauge::Waiting);
    let mut deadline = Deadline::new();
    let mut place = service.idle.place();
    let mut share = Share::default();
    loop {
        let Some((snapshot, endpoint)) = look_up(&service, &mut found, &key, &info) else {
            return link.conn.close();
        };
        let listener_is_gone = !service.is_in_force(snapshot);
        if listener_is_gone {
            patience = patience.ending();
        }
        let waits = link.input.is_empty();
        if waits {
            let wake =
                idle::first_bytes(&service, &mut link, &mut place, &mut deadline, patience).await;
            match wake {
                Wake::Bytes => {}
                Wake::Changed => continue,
                // It is not idle yet: the last response has not been delivered.
                Wake::Park if link.conn.is_stuck() => {
                    let Some(later) = Box::pin(idle::deliver(&mut link, endpoint)).await else {
                        return link.conn.close();
                    };
                    patience = patience.put_off(later);
                    continue;
                }
                Wake::TimedOut | Wake::Quit | Wake::Gone(None) if link.conn.is_stuck() => {
                    Box::pin(idle::deliver(&mut link, endpoint)).await;
                    return end_idle(link.conn, endpoint, &info, &key, number, wake);
                }
                Wake::Park => {
                    drop(gauge);
                    match park(&service, *link, &info, &key, number, patience) {
                        None => return,
                        Some(back) => link = back,
                    }
                    gauge = stats::Gauged::new(stats::Gauge::Waiting);
                    patience = patience.unparked();
                    continue;
                }
                wake => return end_idle(link.conn, endpoint, &info, &key, number, wake),
            }
        }
        gauge.set(stats::Gauge::Reading);
        stats::count_request();
        let start = clock::now();
        let begins = waits && number == 1;
        deadline.set(if begins { patience.until() } else { start + header_timeout(endpoint) });
        let (choice, result) =
            read::head(&mut link, &mut parser, endpoint, &info, &mut deadline).await;
        gauge.set(stats::Gauge::Writing);
        let (mut request, fault) = begin(link, snapshot, choice, &info, &mut parser, result);
        request.number = number;
        request.pipelined = !waits;
        request.start = start;
        match fault {
            None => answer(&mut request, endpoint, listener_is_gone).await,
            Some(fault) => Box::pin(refuse(&mut request, endpoint, &fault)).await,
        }
        let Some(kept) = end(request.ended(), &mut patience, gauge).await else { return };
        (link, gauge) = kept;
        gauge.set(stats::Gauge::Waiting);
        number += 1;
        if share.is_used_up(start) {
            weir_engine::event_loop::yield_now().await;
        }
    }
}

/// Makes the request of a head, and returns the fault of a faulty head with it.
#[inline]
fn begin(
    mut link: Box<Link>,
    snapshot: &Rc<Snapshot>,
    choice: Choice<'_>,
    info: &Rc<ConnectionInfo>,
    parser: &mut RequestParser,
    result: read::Head,
) -> (Unended, Option<Box<HeadFault>>) {
    let server = choice.server();
    let length = match &result {
        read::Head::Complete(length) => *length,
        read::Head::Faulty(_) => link.input.len(),
    };
    let bytes = buffer::split_front(&mut link.input, length);
    let request = Request::next(Rc::clone(snapshot), server, info, Exchange::H1(link));
    let mut request = Unended::new(request);
    let fault = take_head(&mut request, bytes, parser, result);
    if let Some(matched) = choice.captures {
        matched.apply(&mut *request);
    }
    (request, fault)
}

/// The number of pipelined requests that are answered before other connections have their turn, so
/// that a fast sender does not occupy the thread.
const REQUESTS_PER_TURN: u32 = 16;

/// The number of requests of a connection that were answered in this turn of the loop.
#[derive(Default)]
struct Share {
    turn: Instant,
    requests: u32,
}

impl Share {
    /// Counts a request that began at `start`, a time that is the same for a whole turn. Returns
    /// whether the share is used up.
    fn is_used_up(&mut self, start: Instant) -> bool {
        if self.turn != start {
            *self = Self { turn: start, requests: 0 };
        }
        self.requests += 1;
        self.requests.is_multiple_of(REQUESTS_PER_TURN)
    }
}

/// The snapshot in force and the connection's endpoint in it, which is looked up once for each
/// snapshot. If the listener is gone, the earlier result stays.
fn look_up<'a>(
    service: &Service,
    found: &'a mut Option<FoundEndpoint>,
    key: &str,
    info: &ConnectionInfo,
) -> Option<&'a FoundEndpoint> {
    if !found.as_ref().is_some_and(|(snapshot, _)| service.is_in_force(snapshot)) {
        let snapshot = service.snapshot();
        if let Some(endpoint) = snapshot.endpoint(key, info) {
            crate::tls::verify::follow(&endpoint, info);
            *found = Some((snapshot, endpoint));
        }
    }
    found.as_ref()
}

/// The timeout for a head (`client_header_timeout`) while its server is unknown.
fn header_timeout(endpoint: &Endpoint) -> Duration {
    endpoint.default.location.usual.limits.client_header_timeout.0
}

/// Gives a request the parser's results, and the parser memory for the next head. Returns the fault
/// of a faulty head.
fn take_head(
    request: &mut Request,
    bytes: Buf,
    parser: &mut RequestParser,
    result: read::Head,
) -> Option<Box<HeadFault>> {
    match result {
        read::Head::Complete(_) => {
            request.take_head(bytes, |head| parser.swap_head(head));
            None
        }
        read::Head::Faulty(fault) => {
            let found = parser.take_partial(&bytes, fault.whole_line);
            request.take_head(bytes, |head| *head = found);
            parser.reset();
            Some(fault)
        }
    }
}

/// Parks an idle connection. Returns it if it is not idle after all.
fn park(
    service: &Service,
    link: Link,
    info: &Rc<ConnectionInfo>,
    key: &Rc<str>,
    number: u64,
    patience: Patience,
) -> Option<Box<Link>> {
    let told = info.proxy_protocol.is_some() || info.ssl;
    let info_kept = told.then(|| Rc::clone(info));
    let parked = service.idle.parked(key, number, info.start, info_kept);
    let (conn, _) = service.idle.park(link.conn, patience.until(), parked).err()?;
    Some(Link::new(*conn))
}

/// Logs the request and decides on its connection: Some if it can serve another.
async fn end(
    mut request: Box<Request>,
    patience: &mut Patience,
    gauge: stats::Gauged,
) -> Option<(Box<Link>, stats::Gauged)> {
    phase::log(&mut request).await;
    let settings = &request.location.usual.connection;
    let (timeout, least) = (settings.keepalive_timeout.idle, settings.keepalive_min_timeout.0);
    // The response of an ending thread has said so, unless the end began later. The next request
    // may then be on its way.
    // A location that was not entered (`internal`) has had no say before.
    let keep = request.keepalive && !request.upgraded && !timeout.is_zero();
    if !keep || !request.body.is_done() && !Box::pin(linger::discard(&mut request)).await {
        Box::pin(linger::close(request, Some(gauge))).await;
        return None;
    }
    let link = request.retire().and_then(Exchange::into_h1)?;
    let now = clock::now();
    let hold = if least.is_zero() { Instant::default() } else { now + least };
    *patience = Patience::kept(now + timeout, hold);
    Some((link, gauge))
}
