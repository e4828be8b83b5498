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
use weir_engine::connection::Conn;
use weir_engine::error_log::Level;
use weir_engine::os_error::Failed;
use weir_engine::stats;
use weir_engine::timer::Deadline;
use weir_wire::h1::{Connection as Wish, RequestParser, Version};
use weir_wire::header::Known;

use crate::client::Exchange;
use crate::client::h1::Link;
use crate::core::LIMITS;
use crate::module::Verdict;
use crate::phase;
use crate::request::{ConnectionInfo, Request};
use crate::route::Endpoint;
use crate::serve::Service;
use crate::snapshot::{Held, Snapshot};

mod idle;
mod linger;
mod open;
mod read;
mod unended;

pub use idle::IdleConnections;

use idle::{Parked, Patience, Wake};
use unended::Unended;

/// Serves a connection, which was accepted at `start`, from its first byte to its last.
async fn serve(
    service: Rc<Service>,
    conn: Conn,
    key: Rc<str>,
    start: Instant,
    old: Option<Rc<Snapshot>>,
) {
    // What happens once, or seldom, lies in boxes: the state of a connection's task is what
    // every connection costs.
    let snapshot = old.unwrap_or_else(|| service.snapshot());
    let Some(opened) = Box::pin(open::open(snapshot, conn, &key, start)).await else { return };
    let patience = Patience::fresh(opened.until);
    let found = Some((opened.snapshot, opened.endpoint));
    requests(service, opened.link, opened.info, key, 1, patience, found).await;
}

/// Takes a new connection, which waits for its first bytes without a task.
pub(super) fn accept(service: &Rc<Service>, mut conn: Conn, key: &Rc<str>) {
    let begun = open::begin(service, &mut conn, key);
    let (service, key) = (Rc::clone(service), Rc::clone(key));
    let Some(open::Begun { start, until, number }) = begun else {
        weir_engine::spawn(serve(service, conn, key, clock::now(), None));
        return;
    };
    let parked = service.idle.parked(&key, number, start, None);
    if let Err((conn, parked)) = service.idle.park(conn, until, parked) {
        weir_engine::spawn(resume(Rc::clone(&service), *conn, parked, until, None));
    }
}

/// Goes on with a connection that was parked and has something to say, by `old` if the
/// configuration in force does not know its listener.
async fn resume(
    service: Rc<Service>,
    conn: Conn,
    parked: Parked,
    until: Instant,
    old: Option<Rc<Snapshot>>,
) {
    let (key, number) = (service.idle.listener(&parked), parked.number());
    if number == open::UNOPENED {
        return Box::pin(serve(service, conn, key, parked.start, old)).await;
    }
    let info = info_of(&conn, parked);
    let link = Link::new(conn);
    let found = old.and_then(|old| Some((Rc::clone(&old), old.endpoint(&key, &info)?)));
    requests(service, link, info, key, number, Patience::of(number, until), found).await;
}

/// What is known of a connection that was parked.
fn info_of(conn: &Conn, parked: Parked) -> Rc<ConnectionInfo> {
    let Parked { start, info, .. } = parked;
    info.unwrap_or_else(|| Rc::new(ConnectionInfo::of(conn, start, None)))
}

/// Ends a parked connection that has said nothing for too long.
fn time_out(service: &Rc<Service>, conn: Conn, parked: Parked, until: Instant) {
    let (key, number) = (service.idle.listener(&parked), parked.number());
    if number == open::UNOPENED {
        // Whoever would read its first bytes has the words.
        weir_engine::spawn(resume(Rc::clone(service), conn, parked, until, None));
        return;
    }
    let info = info_of(&conn, parked);
    match service.snapshot().endpoint(&key, &info) {
        Some(endpoint) => end_idle(conn, &endpoint, &info, &key, number, Wake::TimedOut),
        None => conn.close(),
    }
}

/// A snapshot, and in it the endpoint of a connection.
type Found = (Rc<Snapshot>, Held<Endpoint>);

/// Serves one request after the other.
async fn requests(
    service: Rc<Service>,
    mut link: Box<Link>,
    info: Rc<ConnectionInfo>,
    key: Rc<str>,
    mut number: u64,
    mut patience: Patience,
    mut found: Option<Found>,
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
                // It is not idle yet.
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
        deadline.set(match waits && number == 1 {
            true => patience.until(),
            false => start + header_timeout(endpoint),
        });
        let outcome = read::head(&mut link, &mut parser, endpoint, &info, &mut deadline).await;
        let read::Outcome { server, captures, result } = outcome;
        gauge.set(stats::Gauge::Writing);
        let length = match &result {
            read::Head::Complete(length) => *length,
            read::Head::Faulty(_) => link.input.len(),
        };
        let bytes = buffer::split_front(&mut link.input, length);
        let request = Request::next(Rc::clone(snapshot), server, &info, Exchange::H1(link));
        let mut request = Unended::new(request);
        let fault = take_head(&mut request, bytes, &mut parser, result);
        request.number = number;
        request.pipelined = !waits;
        request.start = start;
        if let Some(matched) = captures {
            matched.apply(&mut *request);
        }
        match fault {
            None => answer(&mut request, endpoint, listener_is_gone).await,
            Some(fault) => Box::pin(refuse(&mut request, endpoint, &fault)).await,
        }
        let kept = end(request.ended(), &mut patience, gauge).await;
        let Some((kept, counted)) = kept else { return };
        (link, gauge) = (kept, counted);
        gauge.set(stats::Gauge::Waiting);
        number += 1;
        if share.is_used_up(start) {
            weir_engine::event_loop::yield_now().await;
        }
    }
}

/// How many requests that are there already are answered before other connections have their turn:
/// who sends faster than he is answered must not have the thread to himself.
const REQUESTS_PER_TURN: u32 = 16;

/// How many requests of a connection were answered in this turn of the loop.
#[derive(Default)]
struct Share {
    turn: Instant,
    requests: u32,
}

impl Share {
    /// Counts one that began at this time, which is the same for all of a turn.
    fn is_used_up(&mut self, start: Instant) -> bool {
        if self.turn != start {
            *self = Self { turn: start, requests: 0 };
        }
        self.requests += 1;
        self.requests.is_multiple_of(REQUESTS_PER_TURN)
    }
}

/// The snapshot in force and the endpoint in it, which is looked for once in each snapshot. Where
/// it has none, because the listener has gone, what was found before stays.
fn look_up<'a>(
    service: &Service,
    found: &'a mut Option<Found>,
    key: &str,
    info: &ConnectionInfo,
) -> Option<&'a Found> {
    if !found.as_ref().is_some_and(|(snapshot, _)| service.is_in_force(snapshot)) {
        let snapshot = service.snapshot();
        if let Some(endpoint) = snapshot.endpoint(key, info) {
            crate::tls::verify::follow(&endpoint, info);
            *found = Some((snapshot, endpoint));
        }
    }
    found.as_ref()
}

/// How long a head may take (`client_header_timeout`) while nobody knows which server it is for.
fn header_timeout(endpoint: &Endpoint) -> Duration {
    endpoint.default.location.usual.limits.client_header_timeout.0
}

/// Gives a request what the parser has found in its bytes, and the parser memory for the next
/// head. What is wrong with the head comes back.
fn take_head(
    request: &mut Request,
    bytes: Buf,
    parser: &mut RequestParser,
    result: read::Head,
) -> Option<Box<read::Fault>> {
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

/// Parks an idle connection; gives it back when it is not idle after all.
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

/// Closes a connection that nothing was asked on, with what nginx logs about it.
fn end_idle(
    conn: Conn,
    endpoint: &Endpoint,
    info: &ConnectionInfo,
    key: &str,
    number: u64,
    wake: Wake,
) {
    let client = info.peer.ip_text();
    let waiting =
        |what: &str| format!("{what} while waiting for request, client: {client}, server: {key}");
    let message = match wake {
        Wake::Gone(None) if number > 1 => {
            Some(format!("client {client} closed keepalive connection"))
        }
        Wake::Gone(None) => Some(waiting("client closed connection")),
        // Some browsers end a kept connection with a reset.
        Wake::Gone(Some(error))
            if number == 1 || error.kind() != std::io::ErrorKind::ConnectionReset =>
        {
            Some(waiting(&Failed("recv() failed", &error).to_string()))
        }
        Wake::TimedOut if number == 1 => {
            Some(waiting("client timed out (110: Connection timed out)"))
        }
        _ => None,
    };
    if let Some(message) = message {
        endpoint.default.location.handlers.log(Level::Info, info.id, &message);
    }
    conn.close();
}

/// Takes a request whose head is whole through the phases; `last` if it is the connection's last.
async fn answer(request: &mut Request, endpoint: &Held<Endpoint>, last: bool) {
    if !fill_uri(request, endpoint) {
        return Box::pin(refuse_line(request, endpoint)).await;
    }
    begin(request);
    request.keepalive &= !last;
    let refused = match lacking(request) {
        None => read_early(request).await,
        refused => refused,
    };
    match refused {
        None => phase::run(request).await,
        Some(verdict) => Box::pin(phase::finalize(request, verdict)).await,
    }
}

/// What the connection lacks for this request: TLS, or a certificate.
fn lacking(request: &mut Request) -> Option<Verdict> {
    let status = crate::tls::verify::refused(request)?;
    request.keepalive = false;
    Some(Verdict::Status(status))
}

/// Reads the body before the phases where the server wants that (`client_body_early_read`).
async fn read_early(request: &mut Request) -> Option<Verdict> {
    let server = request.server.clone();
    let wanted = &server.settings.get(&LIMITS).client_body_early_read;
    if wanted.0.is_empty() || !wanted.any(request) {
        return None;
    }
    if let Some(verdict) = phase::refuse_large_body(request) {
        return Some(verdict);
    }
    Box::pin(request.read_body()).await.err().map(Verdict::Status)
}

/// Ends a request whose head is not.
async fn refuse(request: &mut Request, endpoint: &Endpoint, fault: &read::Fault) {
    if !request.head.target().is_empty() {
        let _ = fill_uri(request, endpoint);
    }
    // What did not fit is not shown either.
    if fault.status == 414
        && let Some(head) = Rc::get_mut(&mut request.head)
    {
        let size = request.location.usual.limits.large_client_header_buffers.size;
        head.shorten_line(usize::try_from(size).unwrap_or(usize::MAX));
    }
    log_skipped(request);
    fault.log(request);
    request.keepalive = false;
    request.response.lingers = fault.lingers;
    request.client.timed_out = fault.timed_out;
    let verdict = match fault.silent {
        true => Verdict::Abort,
        false => Verdict::Status(fault.status),
    };
    if fault.silent {
        request.response.status = fault.status;
    }
    phase::finalize(request, verdict).await;
}

/// Tells of the lines of the head that are dropped.
fn log_skipped(request: &Request) {
    let head = &request.head;
    for line in &head.skipped {
        let line = weir_wire::shown(line.of(head.bytes()));
        let message = format!(
            "client sent invalid header line: \"{line}\" while reading client request headers"
        );
        request.log(Level::Info, &message);
    }
}

/// Settles what the head says about body and connection (ngx_http_process_request_header,
/// ngx_http_handler).
fn begin(request: &mut Request) {
    log_skipped(request);
    let head = Rc::clone(&request.head);
    let Request { body, client, .. } = &mut *request;
    if let Some(Exchange::H1(link)) = client.exchange() {
        link.begin_body(body, head.framing);
    }
    let limits = &request.location.usual.limits;
    let (max, timeout) = (limits.client_max_body_size.0, limits.client_body_timeout.0);
    (request.body.max_size, request.body.timeout) = (max, timeout);
    request.keepalive = match head.connection {
        Wish::Close => false,
        Wish::KeepAlive => head.version >= Version::HTTP_10,
        Wish::Unsaid => head.version >= Version::HTTP_11,
    };
    request.body.expects_continue = head.version >= Version::HTTP_11
        && head.get(Known::Expect).is_some_and(|v| v.eq_ignore_ascii_case(b"100-continue"));
}

/// Refuses a request whose target is no path. That is settled before a host is known, so the
/// server is the one that the connection began with.
async fn refuse_line(request: &mut Request, endpoint: &Held<Endpoint>) {
    let (server, _) = read::start(endpoint, &request.info);
    request.location = Held::map(&server, |server| &server.location);
    request.server = server;
    if let Some(head) = Rc::get_mut(&mut request.head) {
        request.length = head.keep_line() as u64;
    }
    request.keepalive = false;
    request.log(Level::Info, "client sent invalid request while reading client request line");
    phase::finalize(request, Verdict::Status(400)).await;
}

/// Fills in the path and the arguments; false for a target that is no path. Slashes are merged
/// before a host is known, unless the connection itself has named one.
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

/// Logs the request and decides about its connection: Some when it can take another.
async fn end(
    mut request: Box<Request>,
    patience: &mut Patience,
    gauge: stats::Gauged,
) -> Option<(Box<Link>, stats::Gauged)> {
    phase::log(&mut request).await;
    let settings = &request.location.usual.connection;
    let (timeout, least) = (settings.keepalive_timeout.idle, settings.keepalive_min_timeout.0);
    // A thread that ends has told the client so, unless it began to end since. Then the next
    // request may be on its way.
    let keep = request.keepalive && !request.upgraded;
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
