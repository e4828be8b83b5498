//! The connections of HTTP/2 that the requests of a thread share: which have room, and when they
//! are closed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use weir_upstream::{
    AddressKey, Causes, CountedIdle, KeepaliveConfig, KeptCount, Made, Peer, PoolId,
};

use super::clock;
use super::stream::Reason;
use crate::h2::Link;

/// The maximum number of requests that a connection serves at the same time, if the peer allows as
/// many: so that the loss of one, or a packet that is lost, does not concern too many.
pub(super) const MOST_STREAMS: usize = 128;

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
    place: Option<PoolId>,
}

impl Lease {
    pub(super) fn new(shared: Rc<Shared>, config: &KeepaliveConfig, place: Option<PoolId>) -> Self {
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
        let State::Open(link) = &*shared.state.borrow() else { return };
        let now = clock::millis();
        match self.place {
            Some(place) if !shared.is_worn(&self.config, now) && !CLOSED.get() => {
                shared.idle_since.set(now);
                shared.counted.set(shared.count.as_ref().map(KeptCount::one));
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
                shared.counted.take();
                link.shut_down();
            }
        }
    });
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
    place: PoolId,
    tag: u64,
    made: Made,
) -> Option<Rc<Shared>> {
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

/// Lists a connection that is being made, for others to wait for. Returns whether it is listed.
pub(super) fn list(shared: &Rc<Shared>, place: PoolId) -> bool {
    if CLOSED.get() {
        return false;
    }
    LINKS.with_borrow_mut(|links| {
        if links.len() <= place.index() {
            links.resize_with(place.index() + 1, Vec::new);
        }
        links[place.index()].push(Rc::clone(shared));
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
        for links in links {
            links.retain(|shared| !Rc::ptr_eq(shared, gone));
        }
    });
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
