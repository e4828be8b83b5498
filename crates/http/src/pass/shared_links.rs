//! The connections of HTTP/2 that the requests of a thread share: which have room, and when they
//! are closed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use weir_upstream::{
    AddressKey, ByPlace, Causes, CountedIdle, KeepaliveConfig, KeptCount, Made, Peer, Place,
    PlaceId,
};

use super::clock;
use super::stream::Reason;
use crate::h2::Link;

/// The maximum number of requests that a connection serves at the same time, if the peer allows as
/// many: so that the loss of one, or a packet that is lost, does not concern too many.
pub(super) const MOST_STREAMS: usize = 128;

thread_local! {
    static LINKS: RefCell<ByPlace<Vec<Rc<Shared>>>> = const { RefCell::new(ByPlace::new()) };
    static CLOSED: Cell<bool> = const { Cell::new(false) };
}

/// A connection that requests share.
pub(super) struct Shared {
    address: AddressKey,
    tag: u64,
    made: Made,
    /// The time of opening, in milliseconds.
    pub(super) opened: Cell<u64>,
    /// The number of requests so far.
    pub(super) requests: Cell<u64>,
    /// The number of requests that use it, or wait for it.
    active: Cell<usize>,
    /// Whether a response has come.
    pub(super) answered: Cell<bool>,
    /// The time of the last request's end, in milliseconds.
    idle_since: Cell<u64>,
    /// Where idle connections of the group are counted, if anywhere.
    count: Option<KeptCount>,
    /// The connection is counted there, while it is idle.
    counted: Cell<Option<CountedIdle>>,
    pub(super) state: RefCell<State>,
    /// Why it has ended.
    pub(super) lost: Cell<Reason>,
    /// Its end was counted as a failure of the server.
    loss_counted: Cell<bool>,
}

pub(super) enum State {
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
    pub(super) shared: Rc<Shared>,
    config: KeepaliveConfig,
    /// The place among those of the thread; None for a connection that is not shared.
    place: Option<PlaceId>,
}

impl Lease {
    pub(super) fn new(
        shared: Rc<Shared>,
        config: &KeepaliveConfig,
        place: Option<PlaceId>,
    ) -> Self {
        shared.active.update(|active| active + 1);
        shared.counted.take();
        Self { shared, config: *config, place }
    }

    /// Notes that a response has come.
    pub(super) fn answered(&self) {
        self.shared.answered.set(true);
    }

    /// Whether another request has counted the end of the connection as a failure of the server. If
    /// not, this one does.
    pub(super) fn is_loss_counted(&self) -> bool {
        self.shared.loss_counted.replace(true)
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
        if !matches!(*shared.state.borrow(), State::Open(_)) {
            return;
        }
        let now = clock::millis();
        match self.place {
            Some(place) if !shared.is_worn(&self.config, now) && !CLOSED.get() => {
                shared.idle_since.set(now);
                shared.counted.set(shared.count.as_ref().map(KeptCount::one));
                if !evict(place, self.config.connections) {
                    shared.close_idle();
                }
            }
            _ => shared.close_idle(),
        }
    }
}

/// Closes the connections that have been idle for longest, beyond `most`; false if the group is
/// gone.
fn evict(place: PlaceId, most: usize) -> bool {
    LINKS.with_borrow_mut(|links| {
        let Some(links) = links.get(place) else { return false };
        let idle = || links.iter().filter(|shared| shared.active.get() == 0 && shared.is_open());
        for _ in most..idle().count() {
            let longest = idle().min_by_key(|shared| shared.idle_since.get());
            longest.into_iter().for_each(|shared| shared.close_idle());
        }
        true
    })
}

/// Closes idle connections, at most `most`, in this turn of the loop or the next; returns their
/// number.
pub(super) fn reclaim(most: usize) -> usize {
    LINKS.with_borrow(|links| {
        let idle = |shared: &&Rc<Shared>| shared.active.get() == 0 && shared.is_open();
        let idle = links.iter().flatten().filter(idle).take(most);
        idle.map(|shared| shared.close_idle()).count()
    })
}

/// Ends the connections of groups that no configuration has any more; returns the number of those
/// of others.
pub(super) fn close_gone() -> usize {
    LINKS.with_borrow_mut(|links| {
        links.take_gone().iter().flatten().for_each(|shared| shared.close_idle());
        links.iter().map(Vec::len).sum()
    })
}

impl Shared {
    pub(super) fn new(peer: &Peer, tag: u64, made: Made, count: Option<&KeptCount>) -> Self {
        Self {
            address: peer.address_key,
            tag,
            made,
            opened: Cell::new(0),
            requests: Cell::new(0),
            active: Cell::new(0),
            answered: Cell::new(false),
            idle_since: Cell::new(0),
            count: count.cloned(),
            counted: Cell::default(),
            state: RefCell::new(State::Connecting(Vec::new())),
            lost: Cell::new(Reason::Closed),
            loss_counted: Cell::new(false),
        }
    }

    /// Ends the connection, once its requests have ended.
    fn close_idle(&self) {
        self.counted.take();
        if let State::Open(link) = &*self.state.borrow() {
            link.shut_down();
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
    pub(super) fn settle(&self, state: State) {
        if let State::Connecting(waiting) = self.state.replace(state) {
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}

/// A connection with room for a request of a location with this tag.
pub(super) fn find(
    peer: &Peer,
    config: &KeepaliveConfig,
    place: PlaceId,
    tag: u64,
    made: Made,
) -> Option<Rc<Shared>> {
    let now = clock::millis();
    LINKS.with_borrow_mut(|links| {
        let fits = |shared: &&Rc<Shared>| {
            shared.address == peer.address_key
                && shared.made == made
                && (!config.local || shared.tag == tag)
                && shared.has_room(config, now)
        };
        links.get(place)?.iter().find(fits).cloned()
    })
}

/// Lists a connection that is being made, for others to wait for. Returns whether it is listed.
pub(super) fn list(shared: &Rc<Shared>, place: &Arc<Place>) -> bool {
    if CLOSED.get() {
        return false;
    }
    LINKS.with_borrow_mut(|links| {
        let (links, left) = links.entry(place);
        left.iter().flatten().for_each(|shared| shared.close_idle());
        links.push(Rc::clone(shared));
    });
    true
}

/// A connection that is being made. Dropped before, it tells those who wait.
pub(super) struct Making(pub(super) Rc<Shared>);

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
pub(super) fn forget(gone: &Rc<Shared>) {
    gone.counted.take();
    LINKS.with_borrow_mut(|links| {
        for links in links.iter_mut() {
            links.retain(|shared| !Rc::ptr_eq(shared, gone));
        }
    });
}

/// Ends all connections once their requests have ended, because the thread is ending.
pub(crate) fn close_all() {
    CLOSED.set(true);
    LINKS.with_borrow(|links| {
        links.iter().flatten().for_each(|shared| shared.close_idle());
    });
}
