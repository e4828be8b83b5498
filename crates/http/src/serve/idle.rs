//! Connections that wait for a request: first in their task, then parked.
//!
//! ```text
//!  accepted ───────▶ parked ───────── bytes ─▶ request
//!                      ▲                         │ answered
//!                      │ some milliseconds       ▼
//!                      └───────────────── waits in its task ── bytes ─▶ request
//! ```
//!
//! A busy connection is not parked between two requests, because its task would have to be created
//! again for each. One that is silent for longer costs no task, no buffer and no timer: a sweep
//! goes through the connections in tasks, every few milliseconds while there are any.
//!
//! A thread that is ending closes idle connections of both kinds: those that have been answered and
//! sent nothing since, once `keepalive_min_timeout` is over. A request that has arrived is
//! answered, and a new connection waits for its request as usual. A reload that removes a listener
//! does the same with its connections; if they are served once more, it is by the old
//! configuration.

mod patience;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use slab::Slab;
use weir_engine::buffer::{self, Buf};
use weir_engine::capacity;
use weir_engine::clock::{self, Instant};
use weir_engine::connection::Conn;
use weir_engine::park::{Left, Lot};
use weir_engine::timer::Deadline;

use crate::client::exchange::h1::Link;
use crate::h2::Asleep;
use crate::request::connection_info::ConnectionInfo;
use crate::route::Endpoint;
use crate::serve::Service;
use crate::snapshot::Snapshot;

use super::connection;
use super::h1::read::READ;

pub(super) use patience::Patience;

/// The interval of sweeps. A connection idle for two sweeps is parked. Parking and resuming cost a
/// third of a small request, a task some kilobytes: a client that asks ten times a second or more
/// keeps its task.
const SWEEP_EVERY: Duration = Duration::from_millis(50);

/// The reason why a wait ends.
pub(super) enum Wake {
    /// Bytes have come into the link's input.
    Bytes,
    /// The client closed or broke the connection.
    Gone(Option<io::Error>),
    /// The wait has timed out.
    TimedOut,
    /// The connection is idle, and the thread is ending, its listener is gone, or connections run
    /// short.
    Quit,
    /// The configuration has changed, so the listener must be looked up again.
    Changed,
    /// The connection is to be parked.
    Park,
}

/// The state of a parked connection.
pub(super) struct Parked {
    /// The listener.
    key: Key,
    /// The number of the request that it waits for, or that of an unopened connection.
    number: u32,
    pub(super) start: Instant,
    /// Facts from the PROXY protocol or the handshake, if there are any.
    pub(super) info: Option<Rc<ConnectionInfo>>,
    /// The state of a connection that speaks HTTP/2.
    pub(super) asleep: Option<Asleep>,
}

/// Connections that can no longer be parked, each with the end of its wait.
pub(in crate::serve) struct Leaving(Vec<(Conn, Parked, Instant)>);

impl Leaving {
    /// Closes the idle ones, and serves the others, with `old` if their listener is gone.
    pub(in crate::serve) fn see_off(self, service: &Rc<Service>, old: Option<Rc<Snapshot>>) {
        if self.0.is_empty() {
            return;
        }
        let service = Rc::clone(service);
        weir_engine::spawn(async move {
            weir_engine::event_loop::settle().await;
            for (mut conn, parked, until) in self.0 {
                // HTTP/2 takes leave.
                let is_idle = parked.number > 1 && parked.asleep.is_none();
                if is_idle && conn.has_nothing_unread() {
                    conn.close();
                } else {
                    let service = Rc::clone(&service);
                    weir_engine::spawn(connection::resume(
                        service,
                        conn,
                        parked,
                        until,
                        old.clone(),
                    ));
                }
            }
        });
    }
}

/// The index of a listener's name.
type Key = u32;

impl Parked {
    /// The number of the request that it waits for.
    pub(super) fn number(&self) -> u64 {
        u64::from(self.number)
    }
}

/// The waiting connections of one thread.
pub(super) struct IdleConnections {
    waiting: RefCell<Slab<Waiting>>,
    lot: Lot<Parked>,
    /// The names of listeners that have had connections here, few and short.
    names: RefCell<Vec<Rc<str>>>,
    /// Changes with every configuration, and when the thread begins to end.
    epoch: Cell<u32>,
    /// The number of sweeps.
    sweep: Cell<u32>,
    /// The waker of the sweep, while no connection waits in a task.
    sweeper: Cell<Option<Waker>>,
}

/// A connection that waits in its task.
struct Waiting {
    waker: Waker,
    /// The number of sweeps when its wait began; `BUSY` if it does not wait, or cannot be parked;
    /// `CLOSED` if it is to be closed.
    since: u32,
}

const BUSY: u32 = u32::MAX;
const CLOSED: u32 = u32::MAX - 1;

/// The part of the connections in tasks that is closed to make room for a new one, and its maximum.
const RECLAIM_PART: usize = 8;
const RECLAIM_MOST: usize = 32;

/// A connection's entry among the waiting ones, removed when dropped.
pub(super) struct Place<'a> {
    idle: &'a IdleConnections,
    key: Option<usize>,
}

impl IdleConnections {
    /// No connections. Those that are unparked continue in `service`.
    pub(in crate::serve) fn new(service: Weak<Service>) -> Self {
        weir_engine::spawn(sweep(service.clone()));
        let weak = service.clone();
        let lot = Lot::new(move |conn, parked, until, left| {
            let Some(service) = weak.upgrade() else { return };
            match left {
                Left::Woken => {
                    weir_engine::spawn(connection::resume(service, conn, parked, until, None));
                }
                Left::TimedOut => connection::time_out(&service, conn, parked, until),
            }
        });
        capacity::on_shortage(move || {
            service.upgrade().map_or(0, |service| service.idle.reclaim())
        });
        Self {
            waiting: RefCell::default(),
            lot,
            names: RefCell::default(),
            epoch: Cell::new(0),
            sweep: Cell::new(0),
            sweeper: Cell::new(None),
        }
    }

    /// An entry for a connection.
    pub(super) fn place(&self) -> Place<'_> {
        Place { idle: self, key: None }
    }

    /// Makes every connection in a task check its state, because the thread is ending or its
    /// configuration has changed. Returns the parked ones that `leaves` selects by listener and
    /// request number.
    pub(in crate::serve) fn look_around(&self, leaves: impl Fn(&str, u64) -> bool) -> Leaving {
        self.epoch.set(self.epoch.get().wrapping_add(1));
        for (_, waiting) in self.waiting.borrow().iter() {
            waiting.waker.wake_by_ref();
        }
        let names = self.names.borrow();
        let leaves = |parked: &Parked| leaves(&names[parked.key as usize], parked.number());
        Leaving(self.lot.take_if(leaves))
    }

    /// The state to park a connection to `listener` with, which waits for its request `number`.
    pub(super) fn parked(
        &self,
        listener: &Rc<str>,
        number: u64,
        start: Instant,
        info: Option<Rc<ConnectionInfo>>,
    ) -> Parked {
        let mut names = self.names.borrow_mut();
        let known = names.iter().position(|name| Rc::ptr_eq(name, listener) || name == listener);
        let key = known.unwrap_or_else(|| {
            names.push(Rc::clone(listener));
            names.len() - 1
        });
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        Parked { key: key as Key, number, start, info, asleep: None }
    }

    /// The listener of a parked connection.
    pub(super) fn listener(&self, parked: &Parked) -> Rc<str> {
        Rc::clone(&self.names.borrow()[parked.key as usize])
    }

    /// Parks a connection, or returns it.
    pub(super) fn park(
        &self,
        conn: Conn,
        until: Instant,
        parked: Parked,
    ) -> Result<(), (Box<Conn>, Parked)> {
        self.lot.park(conn, until, parked)
    }

    /// Wakes connections that have waited long enough to be parked; false if none waits.
    fn look(&self) -> bool {
        let look = self.sweep.get().wrapping_add(1) % CLOSED;
        self.sweep.set(look);
        let mut waiting = self.waiting.borrow_mut();
        let mut some = false;
        for (_, one) in waiting.iter().filter(|(_, one)| one.since < CLOSED) {
            some = true;
            if look.wrapping_sub(one.since) >= 2 {
                one.waker.wake_by_ref();
            }
        }
        if waiting.is_empty() {
            // The memory of a crowd is given back.
            waiting.shrink_to_fit();
        }
        some
    }
}

impl IdleConnections {
    /// Closes some of the connections in tasks, because connections run short and none is parked;
    /// returns their number. Requests that arrive before the tasks run are still served.
    fn reclaim(&self) -> usize {
        let mut waiting = self.waiting.borrow_mut();
        let most = (waiting.len() / RECLAIM_PART).clamp(1, RECLAIM_MOST);
        let idle = waiting.iter_mut().filter(|(_, one)| one.since < CLOSED).take(most);
        idle.map(|(_, one)| {
            one.since = CLOSED;
            one.waker.wake_by_ref();
        })
        .count()
    }
}

/// Sweeps while connections wait in tasks.
async fn sweep(service: Weak<Service>) {
    let mut deadline = Deadline::new();
    poll_fn(|cx| {
        let Some(service) = service.upgrade() else { return Poll::Ready(()) };
        while deadline.at() == Instant::NEVER || deadline.poll(cx).is_ready() {
            if !service.idle.look() {
                deadline.clear();
                service.idle.sweeper.set(Some(cx.waker().clone()));
                return Poll::Pending;
            }
            deadline.set(clock::precise() + SWEEP_EVERY);
        }
        Poll::Pending
    })
    .await;
}

impl Place<'_> {
    /// Records the waker, and the beginning of the wait.
    pub(super) fn wait(&mut self, cx: &Context<'_>, parks: bool) {
        let mut waiting = self.idle.waiting.borrow_mut();
        let key = match self.key {
            Some(key) => key,
            None => waiting.insert(Waiting { waker: cx.waker().clone(), since: BUSY }),
        };
        self.key = Some(key);
        let one = &mut waiting[key];
        one.waker.clone_from(cx.waker());
        if parks && one.since == BUSY {
            one.since = self.idle.sweep.get();
            if let Some(sweeper) = self.idle.sweeper.take() {
                sweeper.wake();
            }
        }
    }

    /// The wake-up that the sweep or a shortage of connections asks for.
    pub(super) fn wanted(&self) -> Option<Wake> {
        match self.idle.waiting.borrow()[self.key?].since {
            BUSY => None,
            CLOSED => Some(Wake::Quit),
            since if self.idle.sweep.get().wrapping_sub(since) >= 2 => Some(Wake::Park),
            _ => None,
        }
    }

    /// Ends the wait.
    pub(super) fn leave(&mut self) {
        if let Some(key) = self.key {
            self.idle.waiting.borrow_mut()[key].since = BUSY;
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.idle.waiting.borrow_mut().remove(key);
        }
    }
}

/// Waits for the client to take the end of the last response, for which the socket had no room.
/// Returns the time taken; `None` if the client has taken nothing for `send_timeout`.
pub(super) async fn deliver(link: &mut Link, endpoint: &Endpoint) -> Option<Duration> {
    let start = clock::precise();
    let timeout = endpoint.default.location.usual.limits.send_timeout.0;
    let delivered = link.conn.within(timeout, |conn, cx| conn.poll_posted(cx).map(Ok)).await;
    delivered.ok().map(|()| start.elapsed())
}

/// Waits for the first bytes of a request. Meanwhile, the link has no buffer.
pub(super) async fn first_bytes(
    service: &Service,
    link: &mut Link,
    place: &mut Place<'_>,
    deadline: &mut Deadline,
    mut patience: Patience,
) -> Wake {
    loop {
        let epoch = service.idle.epoch.get();
        let wake =
            poll_fn(|cx| poll_first_bytes(cx, service, link, place, deadline, patience, epoch));
        let wake = wake.await;
        place.leave();
        if !matches!(wake, Wake::Quit) {
            return wake;
        }
        Box::pin(weir_engine::event_loop::settle()).await;
        if link.conn.has_nothing_unread() {
            return Wake::Quit;
        }
        patience.idle = false;
    }
}

fn poll_first_bytes(
    cx: &mut Context<'_>,
    service: &Service,
    link: &mut Link,
    place: &mut Place<'_>,
    deadline: &mut Deadline,
    patience: Patience,
    epoch: u32,
) -> Poll<Wake> {
    if link.conn.poll_may_recv(cx).is_ready() {
        link.input = buffer::take(READ);
        match link.conn.poll_recv(cx, &mut link.input, READ) {
            Poll::Ready(Ok(0)) => return Poll::Ready(Wake::Gone(None)),
            Poll::Ready(Ok(_)) => return Poll::Ready(Wake::Bytes),
            Poll::Ready(Err(error)) => return Poll::Ready(Wake::Gone(Some(error))),
            Poll::Pending => {}
        }
    }
    link.input = Buf::default();
    if service.is_quitting() || service.idle.epoch.get() != epoch || !patience.can_park() {
        return wait_in_task(service, cx, place, deadline, patience, epoch);
    }
    if let Some(wake) = place.wanted() {
        return Poll::Ready(wake);
    }
    place.wait(cx, true);
    Poll::Pending
}

/// Waits for anything but bytes and the sweep.
fn wait_in_task(
    service: &Service,
    cx: &mut Context<'_>,
    place: &mut Place<'_>,
    deadline: &mut Deadline,
    patience: Patience,
    epoch: u32,
) -> Poll<Wake> {
    place.wait(cx, false);
    let mut now = clock::now();
    loop {
        if (service.is_quitting() || patience.ends) && patience.idle && now >= patience.hold {
            return Poll::Ready(Wake::Quit);
        }
        if now >= patience.until {
            return Poll::Ready(Wake::TimedOut);
        }
        if service.idle.epoch.get() != epoch && !service.is_quitting() {
            return Poll::Ready(Wake::Changed);
        }
        if patience.parks && now >= patience.hold && !service.is_quitting() {
            return Poll::Ready(Wake::Park);
        }
        deadline.set(patience.next(now));
        ready!(deadline.poll(cx));
        // The coarse clock may lag behind.
        now = clock::precise();
    }
}
