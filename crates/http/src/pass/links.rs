//! Connections that requests share, of HTTP/2: each thread has its own, by group, and they survive
//! reloads.
//!
//! ```text
//!            ┌─ open, with room ───▶ a stream
//!  request ──┼─ being made ────────▶ waits, then a stream
//!            └─ none ──────────────▶ connects; others wait meanwhile
//! ```
//!
//! The settings of `upstream` keep their meaning: `keepalive` is the number of connections that stay
//! open without requests, `keepalive_timeout` their time, `keepalive_requests` and `keepalive_time`
//! end what a connection is used for. With `keepalive 0`, one that serves requests still takes others,
//! and is closed after the last.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Poll, Waker};

use weir_engine::connection::Conn;
use weir_engine::error_log::Level;
use weir_engine::event_loop;
use weir_engine::timer::Deadline;
use weir_upstream::{AddressKey, Causes, KeepaliveConfig, Made, Peer, Pick, PoolId};
use weir_wire::h2::{Config, Connection, Role};

use super::attempt::{self, CONNECTING, Failure, client_gone, while_client_stays};
use super::channel::Channel;
use super::course::Pass;
use super::retrying::{TryLimit, within};
use super::stream::{Reason, StreamChannel};
use super::{clock, fields_of_head, made};
use crate::h2::{CONNECTION_WINDOW, Link, Upkeep};
use crate::request::Request;

/// The maximum number of requests that a connection serves at the same time, if the peer allows as
/// many: so that the loss of one, or a packet that is lost, does not concern too many.
const MOST_STREAMS: usize = 128;

/// The receive window of a stream, in bytes: the most that waits for a client that reads slowly.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The maximum payload of frames, received and sent: the default of HTTP/2.
const FRAME: u32 = 16 * 1024;

/// The maximum length of a response's head, in bytes, unless the buffer for heads is larger. The
/// location of each request has a limit of its own.
const LARGEST_HEAD: u64 = 64 * 1024;

/// The maximum number of fields in a response's head.
const MOST_FIELDS: u32 = 1000;

thread_local! {
    /// By the index of the group's pool.
    static LINKS: RefCell<Vec<Vec<Rc<Shared>>>> = const { RefCell::new(Vec::new()) };
    static CLOSED: Cell<bool> = const { Cell::new(false) };
}

/// A connection that requests share.
pub(super) struct Shared {
    address: AddressKey,
    tag: u64,
    made: Made,
    /// The time of opening, in milliseconds.
    opened: Cell<u64>,
    /// The number of requests so far.
    requests: Cell<u64>,
    /// The number of requests that use it, or wait for it.
    active: Cell<usize>,
    /// Whether a response has come.
    answered: Cell<bool>,
    /// The time of the last request's end, in milliseconds.
    idle_since: Cell<u64>,
    state: RefCell<State>,
    /// Why it has ended.
    lost: Cell<Reason>,
}

enum State {
    /// Being made, by one of the requests. The others wait.
    Connecting(Vec<Waker>),
    Open(Rc<Link>),
    /// It could not be made, for this cause.
    Failed(Causes),
    /// Nobody makes it any more.
    Abandoned,
}

/// The use of a connection by a request.
pub(super) struct Lease {
    shared: Rc<Shared>,
    config: KeepaliveConfig,
    /// The place among those of the thread; None for a connection that is not shared.
    place: Option<PoolId>,
}

impl Lease {
    fn new(shared: Rc<Shared>, pass: &Pass<'_>, is_listed: bool) -> Self {
        shared.active.update(|active| active + 1);
        let place = pass.target.upstream().map(|upstream| upstream.pool).filter(|_| is_listed);
        Self { shared, config: *pass.target.keepalive(), place }
    }

    /// Notes that a response has come.
    pub(super) fn answered(&self) {
        self.shared.answered.set(true);
    }

    /// Why the connection was lost.
    pub(super) fn why_lost(&self) -> Reason {
        self.shared.lost.get()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let shared = &self.shared;
        shared.active.update(|active| active - 1);
        if shared.active.get() > 0 {
            return;
        }
        let State::Open(link) = &*shared.state.borrow() else { return };
        let now = clock::millis();
        match self.place {
            Some(place) if !shared.is_worn(&self.config, now) && !CLOSED.get() => {
                shared.idle_since.set(now);
                evict(place, self.config.connections);
            }
            _ => link.shut_down(),
        }
    }
}

/// Closes the connections that have been idle for longest, beyond `most`.
fn evict(place: PoolId, most: usize) {
    LINKS.with_borrow(|links| {
        let Some(links) = links.get(place.index()) else { return };
        let idle = || links.iter().filter(|shared| shared.active.get() == 0 && shared.is_open());
        for _ in most..idle().count() {
            let longest = idle().min_by_key(|shared| shared.idle_since.get());
            if let Some(shared) = longest
                && let State::Open(link) = &*shared.state.borrow()
            {
                link.shut_down();
            }
        }
    });
}

impl Shared {
    fn new(peer: &Peer, tag: u64, made: Made) -> Self {
        Self {
            address: peer.address_key,
            tag,
            made,
            opened: Cell::new(0),
            requests: Cell::new(0),
            active: Cell::new(0),
            answered: Cell::new(false),
            idle_since: Cell::new(0),
            state: RefCell::new(State::Connecting(Vec::new())),
            lost: Cell::new(Reason::Closed),
        }
    }

    /// Whether the connection serves no further requests by its settings.
    fn is_worn(&self, config: &KeepaliveConfig, now: u64) -> bool {
        config.connections == 0
            || self.requests.get() >= config.requests
            || now.saturating_sub(self.opened.get()) > config.time
    }

    fn is_open(&self) -> bool {
        matches!(&*self.state.borrow(), State::Open(link) if link.is_usable())
    }

    /// Whether a request can use the connection, now or when it is made.
    fn has_room(&self, config: &KeepaliveConfig, now: u64) -> bool {
        match &*self.state.borrow() {
            State::Connecting(_) => self.active.get() < MOST_STREAMS,
            State::Open(link) => {
                link.can_open()
                    && self.requests.get() < config.requests
                    && now.saturating_sub(self.opened.get()) <= config.time
            }
            State::Failed(_) | State::Abandoned => false,
        }
    }

    /// Ends the time of connecting.
    fn settle(&self, state: State) {
        if let State::Connecting(waiting) = self.state.replace(state) {
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}

/// A channel at once, if there is a connection with room. The second value tells whether it has served
/// requests before.
pub(super) fn at_once(
    peer: &Peer,
    request: &mut Request,
    pass: &Pass<'_>,
    end: bool,
) -> Option<(Channel, bool)> {
    let made = made::wanted(request, pass)?;
    let shared = find(peer, pass, made)?;
    open(Lease::new(shared, pass, true), request, end)
}

/// A connection with room that fits.
fn find(peer: &Peer, pass: &Pass<'_>, made: Made) -> Option<Rc<Shared>> {
    let config = pass.target.keepalive();
    let place = pass.target.upstream()?.pool;
    let tag = pass.tag();
    let now = clock::millis();
    LINKS.with_borrow(|links| {
        let fits = |shared: &&Rc<Shared>| {
            shared.address == peer.address_key
                && shared.made == made
                && (!config.local || shared.tag == tag)
                && shared.has_room(config, now)
        };
        links.get(place.index())?.iter().find(fits).cloned()
    })
}

/// Opens a stream, if the connection is made and has room.
fn open(lease: Lease, request: &mut Request, end: bool) -> Option<(Channel, bool)> {
    let shared = Rc::clone(&lease.shared);
    let state = shared.state.borrow();
    let State::Open(link) = &*state else { return None };
    if !link.can_open() {
        return None;
    }
    let head = &request.attempts.head;
    let stream = link.open(end, |block| fields_of_head::write(head, block));
    shared.requests.update(|requests| requests + 1);
    let channel = StreamChannel::new(stream, lease);
    Some((Channel::Stream(Box::new(channel)), shared.answered.get()))
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
            Some(shared) => {
                let lease = Lease::new(shared, pass, true);
                match wait(&lease, request, pass, pick, limit, &mut deadline).await? {
                    true => lease,
                    false => continue,
                }
            }
            None => connect(peer, request, pass, pick, limit, made).await?,
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
            request.log_upstream(Level::Error, &format!("{why} while {CONNECTING}"));
            Err(Failure::upstream(cause))
        }
    }
}

/// A connection that is being made. Dropped before, it tells those who wait.
struct Making(Rc<Shared>);

impl Drop for Making {
    fn drop(&mut self) {
        if matches!(*self.0.state.borrow(), State::Connecting(_)) {
            self.0.settle(State::Abandoned);
        }
        if !matches!(*self.0.state.borrow(), State::Open(_)) {
            forget(&self.0);
        }
    }
}

/// Removes a connection from those of the thread.
fn forget(gone: &Rc<Shared>) {
    LINKS.with_borrow_mut(|links| {
        for links in links {
            links.retain(|shared| !Rc::ptr_eq(shared, gone));
        }
    });
}

/// Makes a connection, for which others can wait unless its parameters are unknown.
async fn connect(
    peer: &Peer,
    request: &mut Request,
    pass: &Pass<'_>,
    pick: &mut Pick<'_>,
    limit: &mut Option<Box<TryLimit>>,
    made: Option<Made>,
) -> Result<Lease, Failure> {
    let shared = Rc::new(Shared::new(peer, pass.tag(), made.unwrap_or_default()));
    let place = pass.target.upstream().map(|upstream| upstream.pool);
    let place = place.filter(|_| made.is_some() && !CLOSED.get());
    if let Some(place) = place {
        LINKS.with_borrow_mut(|links| {
            if links.len() <= place.index() {
                links.resize_with(place.index() + 1, Vec::new);
            }
            links[place.index()].push(Rc::clone(&shared));
        });
    }
    let making = Making(Rc::clone(&shared));
    let lease = Lease::new(Rc::clone(&shared), pass, place.is_some());
    match attempt::connect(request, pass, pick, limit).await {
        Ok((conn, _)) => {
            shared.opened.set(clock::millis());
            let link = start(conn, Rc::clone(&shared), pass);
            shared.settle(State::Open(link));
        }
        Err(failure) => {
            if let Failure::Upstream(failure) = &failure
                && !failure.blameless
            {
                shared.settle(State::Failed(failure.cause));
            }
            return Err(failure);
        }
    }
    drop(making);
    Ok(lease)
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

/// Ends all connections once their requests have ended, because the thread is ending.
pub(crate) fn close_all() {
    CLOSED.set(true);
    LINKS.with_borrow(|links| {
        for shared in links.iter().flatten() {
            if let State::Open(link) = &*shared.state.borrow() {
                link.shut_down();
            }
        }
    });
}
