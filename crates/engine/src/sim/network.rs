//! The simulated network: connections as pairs of ends, and parcels in transit between them.
//!
//! ```text
//!   Fresh ── connect ──▶ Connecting ── answered ──▶ Open ── reset, from either side ──▶ Broken
//!                            └─────── refused ─────────────────────────────────────────▶
//! ```
//!
//! An end stays `Open` whether both directions, one or none are open: `finished` closes its own
//! direction, `ended` the other. An end closed by its holder belongs to nobody; data that arrives
//! there is answered with a reset, as in Linux.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::task::Waker;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use super::faults::{Faults, Sabotage};
use super::poll::Watches;

mod traffic;

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
    static TRACE: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Runs `act` on this thread's world, if it has one.
pub(super) fn with<T>(act: impl FnOnce(&mut World) -> T) -> Option<T> {
    WORLD.try_with(|world| world.borrow_mut().as_mut().map(act)).ok().flatten()
}

pub(super) fn enter(world: World) {
    WORLD.set(Some(world));
}

pub(super) fn leave() {
    let world = WORLD.take();
    TRACE.set(world.and_then(|world| world.trace).unwrap_or_default());
}

pub(super) fn take_trace() -> Vec<String> {
    TRACE.take()
}

/// An end of a connection: of the two, the connecting one comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EndId(pub(super) u32);

impl EndId {
    fn other(self) -> Self {
        Self(self.0 ^ 1)
    }

    fn place(self) -> usize {
        self.0 as usize
    }

    /// The connection's number.
    pub(super) fn connection(self) -> u32 {
        self.0 / 2
    }
}

/// The faults of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// The network reset it.
    pub reset: bool,
    /// It was lost silently or never established.
    pub lost: bool,
    /// The total delay of its latest parcel.
    pub late: Duration,
}

impl Fate {
    /// Whether no fault occurred.
    pub fn is_good(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndState {
    Fresh,
    Connecting,
    Open,
    Broken,
}

/// The holder of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// The code under test, with this descriptor.
    Descriptor(RawFd),
    Test,
    Nobody,
}

pub(super) struct End {
    pub(super) holder: Holder,
    pub(super) local: SocketAddr,
    pub(super) state: EndState,
    /// Received bytes, followed by parcels that did not fit.
    pub(super) inbox: VecDeque<u8>,
    held: VecDeque<Parcel>,
    room: usize,
    /// The other end has finished, and all its data is in the inbox.
    pub(super) ended: bool,
    /// Reported once.
    pub(super) error: Option<Errno>,
    /// Bytes sent that have not reached the other end's inbox, and their limit.
    unacknowledged: usize,
    most_unacknowledged: usize,
    /// A writer waits for space.
    pub(super) is_full: bool,
    /// This end has closed its sending direction.
    pub(super) finished: bool,
    /// Closing it sends a reset.
    pub(super) resets: bool,
    /// The arrival time of the last parcel sent.
    last_arrival: u64,
    /// A fault that occurs after this many bytes sent.
    fault: Option<(u64, NetworkFault)>,
    delivered: u64,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NetworkFault {
    Reset,
    Loss,
}

#[derive(Debug)]
enum Parcel {
    Bytes(Vec<u8>),
    End,
    Reset,
}

enum Event {
    /// A connection request arrives at this address.
    Knock(EndId, SocketAddr),
    /// The connecting end gets the result.
    Answer(EndId, Result<(), Errno>),
    /// A parcel arrives at this end.
    Arrive(EndId, Parcel),
    /// The sending end gets an acknowledgement.
    Acknowledge(EndId, usize),
}

pub(super) struct Door {
    address: SocketAddr,
    /// The listening descriptor of the code under test; `None` if the test listens.
    pub(super) descriptor: Option<RawFd>,
    pub(super) waiting: VecDeque<EndId>,
    pub(super) taker: Option<Waker>,
    open: bool,
}

/// The object behind a descriptor of the code under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    End(EndId),
    Door(usize),
}

pub(super) struct World {
    /// The time in nanoseconds.
    pub(super) now: u64,
    pub(super) horizon: u64,
    pub(super) random: fastrand::Rng,
    pub(super) trace: Option<Vec<String>>,
    pub(super) watches: Watches,
    pub(super) sabotage: Option<Sabotage>,
    /// A task of the test has been woken.
    pub(super) woken: bool,
    faults: Faults,
    ends: Vec<End>,
    fates: Vec<Fate>,
    doors: Vec<Door>,
    by_descriptor: BTreeMap<RawFd, Stands>,
    /// By time, then in order of creation.
    events: BTreeMap<(u64, u64), Event>,
    events_made: u64,
}

/// The monotonic time at which a world begins.
const START: Duration = Duration::from_secs(1000);

impl World {
    pub(super) fn new(seed: u64, faults: Faults, horizon: Duration) -> Self {
        Self {
            now: START.as_nanos() as u64,
            horizon: (START + horizon).as_nanos() as u64,
            random: fastrand::Rng::with_seed(seed),
            trace: None,
            watches: Watches::default(),
            sabotage: None,
            woken: false,
            faults,
            ends: Vec::new(),
            fates: Vec::new(),
            doors: Vec::new(),
            by_descriptor: BTreeMap::new(),
            events: BTreeMap::new(),
            events_made: 0,
        }
    }

    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let micros = (self.now - START.as_nanos() as u64) / 1000;
            trace.push(format!("{:>6}.{:06} {}", micros / 1_000_000, micros % 1_000_000, line()));
        }
    }

    fn chance(&mut self, one_in: Option<u32>) -> bool {
        one_in.is_some_and(|one_in| self.random.u32(..one_in) == 0)
    }

    fn at(&mut self, time: u64, event: Event) {
        self.events.insert((time, self.events_made), event);
        self.events_made += 1;
    }

    /// The time of the next event.
    pub(super) fn next_event(&self) -> Option<u64> {
        self.events.first_key_value().map(|(&(time, _), _)| time)
    }

    /// Runs the due events.
    pub(super) fn run_due(&mut self) {
        while let Some(first) = self.events.first_entry()
            && first.key().0 <= self.now
        {
            match first.remove() {
                Event::Knock(end, address) => self.knock(end, address),
                Event::Answer(end, answer) => self.answer(end, answer),
                Event::Arrive(end, parcel) => self.arrive(end, parcel),
                Event::Acknowledge(end, count) => self.acknowledge(end, count),
            }
        }
    }

    /// Decides by chance whether descriptors have run out.
    pub(super) fn is_short(&mut self) -> bool {
        self.chance(self.faults.shortages)
    }

    fn descriptor(&mut self, stands: Stands) -> OwnedFd {
        let fd = eventfd(0, EventfdFlags::CLOEXEC).expect("a descriptor");
        self.by_descriptor.insert(fd.as_raw_fd(), stands);
        fd
    }

    pub(super) fn stands_for(&self, fd: RawFd) -> Option<Stands> {
        self.by_descriptor.get(&fd).copied()
    }

    /// The number of descriptors held by the code under test.
    pub(super) fn descriptors(&self) -> usize {
        self.by_descriptor.len()
    }

    /// An unconnected socket of the code under test.
    pub(super) fn socket(&mut self) -> OwnedFd {
        let local = SocketAddr::from(([10, 255, 0, 1], self.ends.len() as u16));
        let end = self.pair(local);
        let fd = self.descriptor(Stands::End(end));
        self.end(end).holder = Holder::Descriptor(fd.as_raw_fd());
        fd
    }

    pub(super) fn close_descriptor(&mut self, fd: RawFd) {
        self.watches.forget(fd);
        if self.sabotage == Some(Sabotage::KeepsSockets) {
            return;
        }
        match self.by_descriptor.remove(&fd) {
            Some(Stands::End(end)) => self.close(end),
            Some(Stands::Door(door)) => self.close_door(door),
            None => {}
        }
    }

    pub(super) fn listen_by_descriptor(&mut self, address: SocketAddr) -> OwnedFd {
        let door = self.listen(address);
        let fd = self.descriptor(Stands::Door(door));
        self.doors[door].descriptor = Some(fd.as_raw_fd());
        fd
    }

    pub(super) fn listen(&mut self, address: SocketAddr) -> usize {
        let (waiting, taker) = (VecDeque::new(), None);
        self.doors.push(Door { address, descriptor: None, waiting, taker, open: true });
        self.doors.len() - 1
    }

    pub(super) fn door(&mut self, door: usize) -> &mut Door {
        &mut self.doors[door]
    }

    pub(super) fn close_door(&mut self, door: usize) {
        self.doors[door].open = false;
        for end in std::mem::take(&mut self.doors[door].waiting) {
            self.end(end).resets = true;
            self.close(end);
        }
    }

    pub(super) fn address_of(&self, stands: Stands) -> SocketAddr {
        match stands {
            Stands::End(end) => self.ends[end.place()].local,
            Stands::Door(door) => self.doors[door].address,
        }
    }

    /// Accepts a waiting connection, if any, with a new descriptor.
    pub(super) fn accept_by_descriptor(
        &mut self,
        door: usize,
    ) -> Result<(OwnedFd, SocketAddr), Errno> {
        if self.doors[door].waiting.is_empty() {
            return Err(Errno::AGAIN);
        }
        if self.is_short() {
            return Err(Errno::MFILE);
        }
        let end = self.doors[door].waiting.pop_front().ok_or(Errno::AGAIN)?;
        let fd = self.descriptor(Stands::End(end));
        self.end(end).holder = Holder::Descriptor(fd.as_raw_fd());
        self.note(|| format!("c{} is accepted", end.connection()));
        Ok((fd, self.ends[end.other().place()].local))
    }
}

/// The name of an end in the trace: `c3>` is the connecting one, `c3<` the other.
fn name(end: EndId) -> String {
    let side = if end.0.is_multiple_of(2) { '>' } else { '<' };
    format!("c{}{side}", end.connection())
}
