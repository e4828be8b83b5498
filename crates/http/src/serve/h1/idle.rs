//! Connections that wait for a request: in their task for a moment, then parked.
//!
//! ```text
//!  answered ─▶ waits in its task ── bytes ─▶ request
//!                    │ a second               ▲
//!                    └──▶ parked ──── bytes ──┘
//! ```
//!
//! Parking costs a few system calls, so a busy connection is not parked between two requests. A
//! task costs some kilobytes, so a thread that has many of them does not wait for long.
//!
//! A parked connection has no task, no buffer and no timer of its own. A thread that is to end
//! closes both kinds at once, but for what `keepalive_min_timeout` still holds.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use slab::Slab;
use weir_engine::buffer::{self, Buf};
use weir_engine::clock::{self, Instant};
use weir_engine::connection::Conn;
use weir_engine::park::{IDLE_BEFORE_PARK, Lot};
use weir_engine::timer::Deadline;

use crate::client::Link;
use crate::request::ConnectionInfo;
use crate::serve::Service;

use super::read::READ;

/// How long a connection may wait for its next request.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// When it is closed.
    until: Instant,
    /// Until then it is kept even by a thread that ends (`keepalive_min_timeout`).
    hold: Instant,
    /// From then on it is worth parking.
    park: Instant,
    /// The same in a crowd.
    park_in_crowd: Instant,
}

/// A thread with more connections in tasks than this parks those that wait sooner.
const CROWD: usize = 256;

/// How long a connection waits in its task in a crowd.
const IDLE_IN_CROWD: Duration = Duration::from_millis(100);

impl Patience {
    /// For a new connection, which has until then to begin. Mostly it begins at once, and if not
    /// the log should tell, so only a crowd of them is parked.
    pub(super) fn first(until: Instant) -> Self {
        let park_in_crowd = clock::now() + IDLE_IN_CROWD;
        Self { until, hold: Instant::default(), park: Instant::NEVER, park_in_crowd }
    }

    /// For one that cannot be parked.
    pub(super) fn unparked(until: Instant) -> Self {
        Self { park_in_crowd: Instant::NEVER, ..Self::first(until) }
    }

    /// For a kept one.
    pub(super) fn kept(until: Instant, hold: Instant) -> Self {
        let now = clock::now();
        let park = (now + IDLE_BEFORE_PARK).max(hold);
        Self { until, hold, park, park_in_crowd: (now + IDLE_IN_CROWD).max(hold) }
    }

    /// When the connection must begin or end.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// The next moment that changes something.
    fn next(&self, now: Instant) -> Instant {
        let marks = [self.until, self.hold, self.park];
        marks.into_iter().filter(|&mark| mark > now).min().unwrap_or(now)
    }
}

/// What ends the wait.
pub(super) enum Wake {
    /// There are bytes in the link's input.
    Bytes,
    /// The client closed or broke the connection.
    Gone(Option<io::Error>),
    /// The patience is over.
    TimedOut,
    /// The thread is to end.
    Quit,
    /// The configuration has changed; whether the listener is still there must be seen.
    Changed,
    /// Nothing for so long that the connection should be parked.
    Park,
}

/// What is left of a connection while it is parked.
pub(super) struct Parked {
    pub(super) key: Rc<str>,
    pub(super) start: Instant,
    pub(super) number: u64,
    pub(super) until: Instant,
    /// Only where the PROXY protocol or the handshake has told more than the connection knows.
    pub(super) info: Option<Rc<ConnectionInfo>>,
}

/// The connections of one thread that wait for a client to ask for something.
pub struct IdleConnections {
    wakers: RefCell<Slab<Waker>>,
    lot: Lot<Parked>,
    /// Changes with every configuration, and when the thread is to end.
    epoch: Cell<u32>,
}

/// A connection's place among the idle; left when dropped.
pub(super) struct Place<'a> {
    idle: &'a IdleConnections,
    key: Option<usize>,
}

impl IdleConnections {
    /// None yet; those which wake go on in `service`.
    pub(in crate::serve) fn new(service: Weak<Service>) -> Self {
        let lot = Lot::new(move |conn, parked| {
            if let Some(service) = service.upgrade() {
                weir_engine::event_loop::spawn(super::resume(service, conn, parked));
            }
        });
        Self { wakers: RefCell::default(), lot, epoch: Cell::new(0) }
    }

    /// A place for a connection.
    pub(super) fn place(&self) -> Place<'_> {
        Place { idle: self, key: None }
    }

    /// Makes every connection that waits look around: the thread is quitting, or its
    /// configuration has changed. The parked are closed unless `keep` wants their listener.
    pub(in crate::serve) fn look_around(&self, keep: impl Fn(&str) -> bool) {
        self.epoch.set(self.epoch.get().wrapping_add(1));
        self.lot.retain(|parked| keep(&parked.key));
        for (_, waker) in self.wakers.borrow().iter() {
            waker.wake_by_ref();
        }
    }

    /// Parks a connection, or gives it back.
    pub(super) fn park(&self, conn: Conn, parked: Parked) -> Result<(), Box<Conn>> {
        self.lot.park(conn, parked.until, parked).map_err(|(conn, _)| conn)
    }
}

impl Place<'_> {
    /// Remembers whom to wake.
    fn wait(&mut self, cx: &Context<'_>) {
        let mut wakers = self.idle.wakers.borrow_mut();
        match self.key {
            Some(key) => wakers[key].clone_from(cx.waker()),
            None => self.key = Some(wakers.insert(cx.waker().clone())),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.idle.wakers.borrow_mut().remove(key);
        }
    }
}

/// Waits for the first bytes of a request. While it waits, the link has no buffer.
pub(super) async fn first_bytes(
    service: &Service,
    link: &mut Link,
    place: &mut Place<'_>,
    deadline: &mut Deadline,
    patience: Patience,
) -> Wake {
    let epoch = service.idle.epoch.get();
    let crowded = service.idle.wakers.borrow().len() > CROWD;
    let mut patience = patience;
    if crowded {
        patience.park = patience.park_in_crowd;
    }
    let parks = patience.park < patience.until;
    poll_fn(|cx| {
        if link.input.capacity() == 0 {
            link.input = buffer::take(READ);
        }
        match link.conn.poll_recv(cx, &mut link.input, READ) {
            Poll::Ready(Ok(0)) => return Poll::Ready(Wake::Gone(None)),
            Poll::Ready(Ok(_)) => return Poll::Ready(Wake::Bytes),
            Poll::Ready(Err(error)) => return Poll::Ready(Wake::Gone(Some(error))),
            Poll::Pending => {}
        }
        link.input = Buf::default();
        place.wait(cx);
        let mut now = clock::now();
        loop {
            if service.is_quitting() && now >= patience.hold {
                return Poll::Ready(Wake::Quit);
            }
            if now >= patience.until {
                return Poll::Ready(Wake::TimedOut);
            }
            if parks && now >= patience.park && !service.is_quitting() {
                return Poll::Ready(Wake::Park);
            }
            if service.idle.epoch.get() != epoch && !service.is_quitting() {
                return Poll::Ready(Wake::Changed);
            }
            deadline.set(patience.next(now));
            ready!(deadline.poll(cx));
            // The coarse clock may not have come as far yet.
            now = clock::precise();
        }
    })
    .await
}
