//! HTTP/2 connections: streams in, each a request in a task of its own; the connection parked while
//! it is idle, and ended gracefully.
//!
//! ```text
//!  opened ─▶ serving ── streams ─▶ requests, in tasks
//!             │  ▲ │
//!             │  │ └─ idle for some milliseconds ─▶ parked ─ bytes, timeout ─┐
//!             │  └────────────────────────────────────────────────────────────┘
//!             └─ limits, a timeout, the end of the thread or the listener ─▶ GOAWAY ─▶ closed
//! ```
//!
//! A graceful end first announces itself without refusing any stream, since requests may be on
//! their way; a round trip later, or after [`LAST_CALL`], no further streams are accepted (RFC 9113
//! section 6.8).

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use weir_engine::clock::{self, Instant};
use weir_engine::connection::Conn;
use weir_engine::error_log::Level;
use weir_engine::os_error::Failed;
use weir_engine::stats::{Gauge, Gauged};
use weir_engine::timer::Deadline;
use weir_wire::field_block::FieldBlock;
use weir_wire::h2::{Config, Connection as Machine, ErrorCode, Role};
use weir_wire::header::Known;

use super::choose::start;
use super::connection::FoundEndpoint;
use super::idle::{Place, Wake};
use super::open::Opened;
use super::{Service, stream};
use crate::core::{CONNECTION, LIMITS, Lingering};
use crate::h2::settings::HTTP2;
use crate::h2::{Asleep, Begun, CONNECTION_WINDOW, Closed, Driver, Linger, Link};
use crate::request::connection_info::ConnectionInfo;
use crate::route::{Endpoint, Server};
use crate::snapshot::Snapshot;

/// The time for a client to learn of the end of its connection before streams are refused.
const LAST_CALL: Duration = Duration::from_secs(1);

/// The maximum payload of a received frame, in bytes: the least that RFC 9113 allows.
const LARGEST_FRAME: u32 = 16 * 1024;

/// The same once a client has made a call of gRPC: behind nginx, it may send messages in one frame.
/// Bodies are handed on as they come, and heads have limits of their own, so no memory depends on
/// it.
const LARGEST_FRAME_OF_GRPC: u32 = 128 * 1024;

/// The maximum payload of a sent frame that a location may want, in bytes.
const LARGEST_CHUNK: u32 = (1 << 24) - 1;

/// The number of fields of a head beyond `max_headers`: pseudo-fields and the parts of `cookie`.
const MORE_FIELDS: u32 = 256;

/// Serves a connection that has just been opened.
pub(super) async fn serve(service: Rc<Service>, opened: Opened, key: Rc<str>) {
    let Opened { conn, info, snapshot, endpoint, until, .. } = opened;
    let config = config(own_server(&endpoint, &info));
    let driver = Link::start(conn, Machine::new(config));
    let found = (snapshot, endpoint);
    Serving::new(service, driver, info, key, found, 0, until).run().await;
}

/// Serves a connection that was parked, with `old` if the configuration in force does not have its
/// listener. It has had `number` requests.
pub(super) async fn resume(
    service: Rc<Service>,
    conn: Conn,
    asleep: Asleep,
    (info, key): (Rc<ConnectionInfo>, Rc<str>),
    number: u64,
    until: Instant,
    old: Option<Rc<Snapshot>>,
) {
    let snapshot = old.unwrap_or_else(|| service.snapshot());
    let Some(endpoint) = snapshot.endpoint(&key, &info) else { return conn.close() };
    let driver = Driver::awaken(conn, asleep);
    Serving::new(service, driver, info, key, (snapshot, endpoint), number, until).run().await;
}

/// The server that a connection was made for.
fn own_server<'a>(endpoint: &'a Endpoint, info: &ConnectionInfo) -> &'a Server {
    endpoint.server(start(endpoint, info).0)
}

fn config(server: &Server) -> Config {
    let http2 = server.settings.get(&HTTP2);
    let limits = server.settings.get(&LIMITS);
    let buffers = &limits.large_client_header_buffers;
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Config {
        role: Role::Server,
        max_streams: number(http2.max_concurrent_streams),
        stream_window: http2.body_preread_size.0,
        connection_window: CONNECTION_WINDOW,
        max_frame: LARGEST_FRAME,
        // Locations have their own `http2_chunk_size`, which the exchange heeds.
        chunk: LARGEST_CHUNK,
        max_head: number(buffers.count.saturating_mul(buffers.size)),
        max_fields: limits.max_headers.saturating_add(MORE_FIELDS),
        extended_connect: true,
    }
}

/// Whether a request is a call of gRPC.
fn is_call(fields: &FieldBlock) -> bool {
    fields.iter().any(|(_, value, known)| {
        known == Known::ContentType && value.starts_with(b"application/grpc")
    })
}

/// A connection and its task.
struct Serving {
    service: Rc<Service>,
    driver: Driver,
    info: Rc<ConnectionInfo>,
    key: Rc<str>,
    found: FoundEndpoint,
    /// The number of requests so far.
    number: u64,
    /// The end of the wait for a request, while there is none.
    until: Instant,
    /// The time by which a frame or head that has begun must be complete
    /// (`client_header_timeout`).
    part_until: Instant,
    /// Whether there were streams when it was last looked at.
    busy: bool,
    ending: Ending,
    deadline: Deadline,
    /// The connection counts as waiting while it has no stream.
    gauge: Option<Gauged>,
}

/// How far a graceful end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Not begun.
    No,
    /// It is announced; at this time, streams are refused.
    Announced(Instant),
    /// No further streams are accepted.
    Last,
}

/// What a connection needs from its task.
enum Next {
    Request(Begun),
    Closed(Closed),
    Park,
}

impl Serving {
    fn new(
        service: Rc<Service>,
        mut driver: Driver,
        info: Rc<ConnectionInfo>,
        key: Rc<str>,
        found: FoundEndpoint,
        number: u64,
        until: Instant,
    ) -> Self {
        let limits = found.1.default.settings.get(&LIMITS);
        driver.set_send_timeout(limits.send_timeout.0);
        Self {
            service,
            driver,
            info,
            key,
            found,
            number,
            until,
            part_until: Instant::NEVER,
            busy: false,
            ending: Ending::No,
            deadline: Deadline::new(),
            gauge: None,
        }
    }

    async fn run(mut self) {
        let service = Rc::clone(&self.service);
        let mut place = service.idle.place();
        loop {
            match poll_fn(|cx| self.poll(cx, &mut place)).await {
                Next::Request(begun) => self.begin(begun),
                Next::Closed(closed) => {
                    self.log_end(&closed);
                    return self.close(&closed).await;
                }
                Next::Park => match self.park() {
                    None => return,
                    Some(back) => self = back,
                },
            }
        }
    }

    /// Serves the connection, watches its limits, and waits for what its task has to do.
    fn poll(&mut self, cx: &mut Context<'_>, place: &mut Place<'_>) -> Poll<Next> {
        loop {
            self.heed_service();
            match self.driver.poll_accept(cx) {
                Poll::Ready(Ok(begun)) => {
                    place.leave();
                    return Poll::Ready(Next::Request(begun));
                }
                Poll::Ready(Err(closed)) => return Poll::Ready(Next::Closed(closed)),
                Poll::Pending => {}
            }
            self.note_streams();
            self.note_part();
            let parks = !self.busy && self.ending == Ending::No && self.driver.is_quiet();
            if !parks {
                place.leave();
            }
            place.wait(cx, parks);
            match place.wanted() {
                Some(Wake::Park) => return Poll::Ready(Next::Park),
                // Connections run short.
                Some(_) => self.refuse_more(),
                None => {
                    let due = self.due();
                    self.deadline.set(due.min(self.part_until));
                    if self.deadline.poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    match self.part_until < due {
                        true => self.time_out(),
                        false => self.refuse_more(),
                    }
                }
            }
        }
    }

    /// The time at which no further streams are accepted, if nothing happens before.
    fn due(&self) -> Instant {
        match self.ending {
            Ending::No if self.busy || self.part_until != Instant::NEVER => Instant::NEVER,
            Ending::No => self.until,
            Ending::Announced(at) => at,
            Ending::Last => Instant::NEVER,
        }
    }

    /// Notes whether there are streams. The wait for a request begins when the last one ends.
    fn note_streams(&mut self) {
        let busy = self.driver.link().streams() > 0;
        if self.busy && !busy {
            self.until = self.end_of_idle();
        }
        self.busy = busy;
        match (&self.gauge, busy) {
            (None, false) => self.gauge = Some(Gauged::new(Gauge::Waiting)),
            (Some(_), true) => self.gauge = None,
            _ => {}
        }
    }

    /// The end of a wait for a request that begins now.
    fn end_of_idle(&self) -> Instant {
        let server = own_server(&self.found.1, &self.info);
        clock::now() + server.location.usual.connection.keepalive_timeout.idle
    }

    /// Notes whether a part of a head is there. Parts of bodies have timeouts of their own.
    fn note_part(&mut self) {
        if !self.driver.has_part_of_head() {
            self.part_until = Instant::NEVER;
        } else if self.part_until == Instant::NEVER {
            let server = own_server(&self.found.1, &self.info);
            let timeout = server.location.usual.limits.client_header_timeout.0;
            self.part_until = clock::now() + timeout;
        }
    }

    /// Ends the stream of a client that was too slow to send its head, or the connection if another
    /// short frame is late. The rest of the head is dropped: meanwhile a connection without streams
    /// is idle, and one with streams has the timeouts of their requests.
    fn time_out(&mut self) {
        self.part_until = Instant::NEVER;
        self.log("client timed out (110: Connection timed out)");
        if self.driver.link().reset_late_head() {
            self.until = self.end_of_idle();
        } else {
            self.driver.link().abort(ErrorCode::PROTOCOL_ERROR);
        }
    }

    /// Follows a change of the configuration, and the end of the thread or of the listener.
    fn heed_service(&mut self) {
        if !self.service.is_in_force(&self.found.0) && self.ending == Ending::No {
            let snapshot = self.service.snapshot();
            match snapshot.endpoint(&self.key, &self.info) {
                Some(endpoint) if snapshot.listens_on(&self.key) => {
                    crate::tls::verify::follow(&endpoint, &self.info);
                    self.found = (snapshot, endpoint);
                }
                _ => self.announce_end(),
            }
        }
        if self.service.is_quitting() {
            self.announce_end();
        }
    }

    /// Begins the graceful end.
    fn announce_end(&mut self) {
        if self.ending == Ending::No {
            self.ending = Ending::Announced(clock::now() + LAST_CALL);
            self.driver.link().shut_down();
        }
    }

    /// Ends gracefully without a last call.
    fn refuse_more(&mut self) {
        self.announce_end();
        if self.ending != Ending::Last {
            self.ending = Ending::Last;
            self.driver.link().shut_down();
        }
    }

    /// Begins a request, in a task of its own.
    fn begin(&mut self, begun: Begun) {
        self.number += 1;
        self.busy = true;
        self.gauge = None;
        if !begun.ended && is_call(&begun.fields) {
            // Before the frames behind the head are looked at.
            self.driver.link().announce_frame_size(LARGEST_FRAME_OF_GRPC);
        }
        let server = own_server(&self.found.1, &self.info);
        let settings = &server.location.usual.connection;
        if settings.keepalive_timeout.idle.is_zero()
            || self.number >= u64::from(settings.keepalive_requests)
            || clock::now().since(self.info.start) > settings.keepalive_time.0
        {
            self.announce_end();
        }
        let (snapshot, endpoint) = (Rc::clone(&self.found.0), self.found.1.clone());
        let info = Rc::clone(&self.info);
        weir_engine::spawn(stream::answer_stream((snapshot, endpoint), info, begun, self.number));
    }

    /// Parks the connection. Returns it if it is not idle after all.
    fn park(self) -> Option<Self> {
        let Self { service, driver, info, key, found, number, until, .. } = self;
        let (conn, asleep) = match driver.sleep() {
            Ok(parts) => parts,
            Err(driver) => {
                return Some(Self::new(service, driver, info, key, found, number, until));
            }
        };
        let mut parked = service.idle.parked(&key, number + 1, info.start, Some(Rc::clone(&info)));
        parked.asleep = Some(asleep);
        let (conn, parked) = service.idle.park(conn, until, parked).err()?;
        let driver = Driver::awaken(*conn, parked.asleep?);
        Some(Self::new(service, driver, info, key, found, number, until))
    }

    /// Closes the connection. Its client sees the last frames, unless it is gone.
    async fn close(self, closed: &Closed) {
        if matches!(closed, Closed::Gone(_) | Closed::SendTimedOut) {
            return;
        }
        drop(self.gauge);
        let settings = self.found.1.default.settings.get(&CONNECTION);
        // An ending thread waits for nobody.
        let lingers = settings.lingering_close != Lingering::Off && !self.service.is_quitting();
        let linger = lingers.then_some(Linger {
            total: settings.lingering_time.0,
            each: settings.lingering_timeout.0,
        });
        Box::pin(self.driver.close(linger)).await;
    }

    /// Logs the end of the connection as nginx does.
    fn log_end(&self, closed: &Closed) {
        let message = match closed {
            Closed::Gone(None) if self.busy => "client prematurely closed connection".to_owned(),
            Closed::Gone(Some(error)) => Failed("recv() failed", error).to_string(),
            Closed::Faulty(fault) => fault.reason.to_owned(),
            Closed::SendTimedOut => "client timed out (110: Connection timed out)".to_owned(),
            _ => return,
        };
        self.log(&message);
    }

    fn log(&self, message: &str) {
        let (client, server) =
            (self.info.peer.ip_text(), weir_edge::listen::named_address(&self.key));
        let handlers = &self.found.1.default.location.handlers;
        let message = format!("{message} while processing HTTP/2 connection");
        handlers.log_connection(Level::Info, self.info.id, &message, [&client, server]);
    }
}
