//! Connections that requests share, of HTTP/2: each thread has its own, by group, and they survive
//! reloads.
//!
//! ```text
//!            ┌─ open, with room ───▶ a stream
//!  request ──┼─ being made ────────▶ waits, then a stream
//!            └─ none ──────────────▶ connects; others wait meanwhile
//! ```
//!
//! A connection is made when the peer's settings are known: they say how many requests it takes.
//! Its first request is sent before that.
//!
//! The settings of `upstream` keep their meaning: `keepalive` is the number of connections that
//! stay open without requests, `keepalive_timeout` their time, `keepalive_requests` and
//! `keepalive_time` end what a connection is used for. With `keepalive 0`, one that serves requests
//! still takes others, and is closed after the last.

use std::rc::Rc;
use std::task::Poll;

use weir_engine::connection::Conn;
use weir_engine::error_log::Level;
use weir_engine::event_loop;
use weir_engine::timer::Deadline;
use weir_upstream::{Causes, KeepaliveConfig, Made, Peer, Pick, PlaceId};
use weir_wire::h2::{Config, Connection, Role};

use super::attempt::{self, CONNECTING, Failure, client_gone, while_client_stays};
use super::channel::Channel;
use super::course::Pass;
use super::retrying::{TryLimit, within};
use super::shared_links::{self, Lease, MOST_STREAMS, Making, Shared, State, forget};
use super::stream::{Reason, StreamChannel};
use super::{clock, fields_of_head, made, pool};
use crate::errors::Cause;
use crate::h2::{CONNECTION_WINDOW, Link, Upkeep};
use crate::request::Request;

/// The receive window of a stream, in bytes: the most that waits for a client that reads slowly.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The maximum payload of frames, received and sent: the default of HTTP/2.
const FRAME: u32 = 16 * 1024;

/// The maximum length of a response's head, in bytes, unless the buffer for heads is larger. The
/// location of each request has a limit of its own.
const LARGEST_HEAD: u64 = 64 * 1024;

/// The maximum number of fields in a response's head.
const MOST_FIELDS: u32 = 1000;

/// A channel at once, if there is a connection with room. The second value tells whether it has
/// served requests before.
pub(super) fn at_once(
    peer: &Peer,
    request: &mut Request,
    pass: &Pass<'_>,
    end: bool,
) -> Option<(Channel, bool)> {
    let made = made::wanted(request, pass)?;
    open(find(peer, pass, made)?, request, end)
}

/// A connection with room that fits.
fn find(peer: &Peer, pass: &Pass<'_>, made: Made) -> Option<Lease> {
    let config = pass.target.keepalive();
    let place = pass.target.upstream()?.place.id();
    let shared = shared_links::find(peer, config, place, pass.tag(), made)?;
    Some(Lease::new(shared, config, Some(place)))
}

/// Opens a stream, if the connection is made and has room.
fn open(lease: Lease, request: &mut Request, end: bool) -> Option<(Channel, bool)> {
    let link = match &*lease.shared.state.borrow() {
        State::Open(link) if link.can_open() => Rc::clone(link),
        _ => return None,
    };
    Some(open_on(&link, lease, request, end))
}

/// Opens a stream on a connection with room.
fn open_on(link: &Rc<Link>, lease: Lease, request: &mut Request, end: bool) -> (Channel, bool) {
    let head = &request.attempts.head;
    let stream = link.open(end, |block| fields_of_head::write(head, &request.head, block));
    let shared = &lease.shared;
    shared.requests.update(|requests| requests + 1);
    let is_proven = shared.answered.get();
    (Channel::Stream(Box::new(StreamChannel::new(stream, lease))), is_proven)
}

/// A channel, once there is a connection.
pub(super) async fn later(
    peer: &Peer,
    request: &mut Request,
    pass: &Pass<'_>,
    pick: &mut Pick<'_>,
    limit: &mut Option<Box<TryLimit>>,
    end: bool,
) -> Result<(Channel, bool), Failure> {
    let mut deadline = Deadline::new();
    deadline.after(pass.settings.connect_timeout.0);
    loop {
        let made = made::wanted(request, pass);
        let found = made.and_then(|made| find(peer, pass, made));
        let lease = match found {
            Some(lease) => match wait(&lease, request, pass, pick, limit, &mut deadline).await? {
                true => lease,
                false => continue,
            },
            None => {
                let (lease, link) = connect(peer, request, pass, pick, limit, made).await?;
                return Ok(open_on(&link, lease, request, end));
            }
        };
        if let Some(opened) = open(lease, request, end) {
            return Ok(opened);
        }
    }
}

/// Waits until another request has made the connection; false if it has given up.
async fn wait(
    lease: &Lease,
    request: &mut Request,
    pass: &Pass<'_>,
    pick: &mut Pick<'_>,
    limit: &mut Option<Box<TryLimit>>,
    deadline: &mut Deadline,
) -> Result<bool, Failure> {
    let made = std::future::poll_fn(|cx| match &mut *lease.shared.state.borrow_mut() {
        State::Connecting(waiting) => {
            if deadline.poll(cx).is_ready() {
                return Poll::Ready(Err(Causes::TIMEOUT));
            }
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
            Poll::Pending
        }
        State::Open(_) => Poll::Ready(Ok(true)),
        State::Failed(cause) => Poll::Ready(Err(*cause)),
        State::Abandoned => Poll::Ready(Ok(false)),
    });
    let made = while_client_stays(request, pass, made);
    match within(limit, pick, made).await {
        None => Err(TryLimit::exceeded(request, CONNECTING)),
        Some(None) => Err(client_gone(request, CONNECTING)),
        Some(Some(Ok(made))) => Ok(made),
        Some(Some(Err(cause))) => {
            let why = match cause == Causes::TIMEOUT {
                true => "upstream timed out (110: Connection timed out)",
                false => "the connection that other requests wait for, too, failed",
            };
            request.blame(match cause == Causes::TIMEOUT {
                true => Cause::UpstreamConnectTimeout,
                false => Cause::UpstreamUnreachable,
            });
            request.log_upstream(Level::Error, &format!("{why} while {CONNECTING}"));
            Err(Failure::upstream(cause))
        }
    }
}

/// Makes a connection, for which others can wait unless its parameters are unknown.
async fn connect(
    peer: &Peer,
    request: &mut Request,
    pass: &Pass<'_>,
    pick: &mut Pick<'_>,
    limit: &mut Option<Box<TryLimit>>,
    made: Option<Made>,
) -> Result<(Lease, Rc<Link>), Failure> {
    let count = pass.target.upstream().and_then(|upstream| upstream.group.kept_count());
    let shared = Rc::new(Shared::new(peer, pass.tag(), made.unwrap_or_default(), count));
    let place = pass.target.upstream().map(|upstream| &upstream.place);
    let place = place.filter(|place| made.is_some() && shared_links::list(&shared, place));
    let place = place.map(|place| place.id());
    pool::sweep_later();
    let making = Making(Rc::clone(&shared));
    let lease = Lease::new(Rc::clone(&shared), pass.target.keepalive(), place);
    match attempt::connect(request, pass, pick, limit).await {
        Ok((conn, _)) => {
            shared.opened.set(clock::millis());
            let link = start(conn, Rc::clone(&shared), pass);
            event_loop::spawn(settle(making, Rc::clone(&link), pass.target.keepalive(), place));
            Ok((lease, link))
        }
        Err(failure) => {
            if let Failure::Upstream(failure) = &failure
                && !failure.blameless
            {
                shared.settle(State::Failed(failure.cause));
            }
            Err(failure)
        }
    }
}

/// Opens a connection to other requests once the peer's settings are known.
fn settle(
    making: Making,
    link: Rc<Link>,
    config: &KeepaliveConfig,
    place: Option<PlaceId>,
) -> impl Future<Output = ()> + use<> {
    let config = *config;
    async move {
        if link.settled().await {
            making.0.settle(State::Open(link));
            // Its first request may have ended meanwhile: then it is idle.
            drop(Lease::new(Rc::clone(&making.0), &config, place));
        }
    }
}

/// Starts to speak HTTP/2 on a connection, in a task of its own.
fn start(conn: Conn, shared: Rc<Shared>, pass: &Pass<'_>) -> Rc<Link> {
    let settings = pass.settings;
    let machine = Connection::new(Config {
        role: Role::Client,
        max_streams: MOST_STREAMS as u32,
        stream_window: STREAM_WINDOW,
        connection_window: CONNECTION_WINDOW,
        max_frame: FRAME,
        chunk: FRAME,
        max_head: settings.buffer_size.0.clamp(LARGEST_HEAD, 16 * LARGEST_HEAD) as u32,
        max_fields: MOST_FIELDS,
        extended_connect: false,
    });
    let mut driver = Link::start(conn, machine);
    let link = Rc::clone(driver.link());
    let idle = std::time::Duration::from_millis(pass.target.keepalive().timeout);
    let upkeep = Upkeep { idle, send: settings.send_timeout.0 };
    event_loop::spawn(async move {
        let closed = driver.drive(upkeep).await;
        shared.lost.set(Reason::of(&closed));
        drop(driver);
        forget(&shared);
    });
    link
}
