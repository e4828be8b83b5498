//! The interface of balancing methods, and the weighted choice that several share.

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use smallvec::SmallVec;

use crate::{
    balance::turns::Turns,
    clock::Now,
    outcome::Outcome,
    peer::Peer,
    set::{Set, Sets},
    slow_start::Scale,
};

/// The limit of attempts by hash or chance; after that, round robin chooses.
pub(crate) const MAX_REHASHES: u32 = 20;

/// The decision of a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The peer at this index of the set.
    Peer(usize),
    /// No peer of this set; the backup servers may be asked.
    Nobody,
    /// No peer at all.
    Busy,
    /// Leaves the choice to round robin, here and among the backup servers.
    RoundRobin,
}

/// The progress of a request over the peers.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// The tried peers of the current set, by the serial of their state.
    pub(crate) tried: SmallVec<[u64; 4]>,
    /// The sid of the peer for `sticky`; empty if there is none.
    pub(crate) hint: Vec<u8>,
    /// The key to hash, if the method hashes.
    pub(crate) key: Vec<u8>,
    /// The current hash, or index on the ring.
    pub(crate) hash: u32,
    /// How often the key was hashed.
    pub(crate) rehash: u32,
    /// The number of rejected choices.
    pub(crate) tries: u32,
    /// The number of the primary set for which the method has prepared the walk.
    pub(crate) started: Option<usize>,
    /// The localities that it prefers, by name.
    pub(crate) localities: Vec<Vec<u8>>,
    /// Its position among the parts of the localities, once drawn.
    pub(crate) position: Option<u64>,
    /// Whether the walk is among the backup servers.
    pub(crate) on_backup: bool,
    /// Whether the current peer was the only one of its group when it was chosen.
    pub(crate) single: bool,
}

/// The steps of a walk so far.
pub(crate) struct Mark {
    tried: SmallVec<[u64; 4]>,
    hash: u32,
    rehash: u32,
    tries: u32,
    on_backup: bool,
    started: Option<usize>,
}

impl Walk {
    /// The steps so far, to return to if the next one finds no peer.
    pub(crate) fn mark(&self) -> Mark {
        let Self { hash, rehash, tries, on_backup, started, .. } = *self;
        Mark { tried: self.tried.clone(), hash, rehash, tries, on_backup, started }
    }

    /// Forgets the steps since the mark.
    pub(crate) fn return_to(&mut self, mark: Mark) {
        let Mark { tried, hash, rehash, tries, on_backup, started } = mark;
        self.started = started;
        self.tried = tried;
        (self.hash, self.rehash, self.tries, self.on_backup) = (hash, rehash, tries, on_backup);
    }

    /// Prepares the walk for a set.
    pub(crate) fn enter(&mut self, set: &Set, method: &dyn Balance) {
        if self.started != Some(set.index) {
            self.started = Some(set.index);
            (self.hash, self.rehash, self.tries) = (0, 0, 0);
            method.start(set, self);
        }
    }

    /// Whether every peer that it can still come to was tried.
    pub(crate) fn is_over(&self, sets: &Sets) -> bool {
        let all_tried =
            |set: &Set| !set.peers.is_empty() && set.peers.iter().all(|peer| self.was_tried(peer));
        match &sets.backup {
            Some(backup) => self.on_backup && all_tried(backup),
            None => all_tried(&sets.primary),
        }
    }

    pub(crate) fn was_tried(&self, peer: &Peer) -> bool {
        self.tried.contains(&peer.serial())
    }

    /// Whether the peer can take an unbound request.
    pub(crate) fn may_take(&self, peer: &Peer, now: Now) -> bool {
        !self.was_tried(peer) && peer.is_available(now)
    }

    /// The peer for `sticky`, if it can take a request. Draining peers can.
    pub(crate) fn hinted(&self, set: &Set, now: Now) -> Option<usize> {
        if self.hint.is_empty() {
            return None;
        }
        let place = set.of_sid(&self.hint)?;
        let peer = &set.peers[place];
        (!self.was_tried(peer) && peer.takes_bound(now)).then_some(place)
    }
}

/// The input of one choice.
pub(crate) struct Turn<'a> {
    pub(crate) sets: &'a Sets,
    pub(crate) set: &'a Set,
    pub(crate) walk: &'a mut Walk,
    pub(crate) random: &'a mut fastrand::Rng,
    pub(crate) now: Now,
    /// Locked for methods that take turns, and for round robin.
    pub(crate) turns: Option<&'a mut Turns>,
}

/// The input of a request to balancing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// The client's address, for `ip_hash`.
    pub client: Option<IpAddr>,
    /// The key of `hash`, evaluated.
    pub key: &'a [u8],
    /// The sid of the peer for `sticky`; empty if there is none.
    pub sticky: &'a [u8],
    /// The localities that it prefers, the first one most.
    pub localities: &'a [Vec<u8>],
}

/// What a method compares servers by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compared {
    /// Its name.
    pub(crate) name: &'static str,
    /// Whether the highest wins, not the lowest.
    pub(crate) highest: bool,
}

impl Compared {
    /// The active requests in relation to the weight.
    pub(crate) const ACTIVE: Self = Self { name: "active requests / weight", highest: false };
    /// The expected time in relation to the weight.
    pub(crate) const TIME: Self =
        Self { name: "expected time in ms * (active requests + 1) / weight", highest: false };
}

/// The input of [`Balance::score`].
pub(crate) struct Weighing<'a> {
    pub(crate) sets: &'a Sets,
    pub(crate) set: &'a Set,
    pub(crate) scale: Scale,
    pub(crate) now: Now,
    /// 1 for the chosen peer, whose active requests include the one that has chosen it; else 0.
    pub(crate) own: u64,
    /// Locked for methods that say so.
    pub(crate) turns: Option<&'a mut Turns>,
}

impl Weighing<'_> {
    /// The active requests of a peer, without the one that chooses.
    pub(crate) fn active(&self, peer: &Peer) -> f64 {
        peer.active().saturating_sub(self.own) as f64
    }

    /// The weight of a peer, in units of the configuration.
    pub(crate) fn weight(&self, peer: &Peer) -> f64 {
        let weight = self.scale.of(peer.weight(), peer).max(1) as f64;
        weight / self.scale.whole(1) as f64
    }
}

/// The operations of a method.
pub(crate) trait Balance: fmt::Debug + Send + Sync {
    /// The name of its directive.
    fn name(&self) -> &'static str;

    /// What it compares servers by, if it does.
    fn compared(&self) -> Option<Compared> {
        None
    }

    /// Whether [`Balance::score`] needs the turns.
    fn weighs_in_turns(&self) -> bool {
        false
    }

    /// What it goes by for the peer at a place, as it is now.
    fn score(&self, _: &mut Weighing<'_>, _place: usize) -> Option<f64> {
        None
    }

    /// The part of a request to hash.
    fn key(&self, _request: &Request<'_>) -> Vec<u8> {
        Vec::new()
    }

    /// Prepares the walk of a request, before its first choice in a set of primary peers.
    fn start(&self, _set: &Set, _walk: &mut Walk) {}

    /// Whether one request at a time may choose, and be answered: the method has state that a
    /// choice reads and changes.
    fn takes_turns(&self) -> bool {
        true
    }

    /// Chooses a peer of the set.
    fn choose(&self, turn: &mut Turn<'_>) -> Choice;

    /// Called when a peer is taken for a request; returns whether to call `answered`.
    fn taken(&self, _peer: &Peer, _now: Now) -> bool {
        false
    }

    /// The moment of a response that updates the method before the request ends.
    fn watched(&self) -> Option<Moment> {
        None
    }

    /// Whether it compares the average times of peers.
    fn compares_times(&self) -> bool {
        false
    }

    /// Called once for a taken peer, at the watched moment or else at the end of the attempt.
    fn answered(&self, _peer: &Peer, _sample: Sample, _now: Now) {}

    /// Whether backup servers are supported.
    fn knows_backup(&self) -> bool {
        true
    }

    /// Whether growing weights are supported: nginx refuses `slow_start` where it refuses `backup`.
    fn knows_slow_start(&self) -> bool {
        self.knows_backup()
    }

    /// Whether the method follows what each peer's requests do.
    fn follows_moves(&self) -> bool {
        false
    }

    /// Whether the method needs the number of the group's active requests.
    fn counts_active(&self) -> bool {
        false
    }

    /// Whether the method needs the ring of a consistent hash.
    fn needs_ring(&self) -> bool {
        false
    }
}

/// A moment of an upstream request at which a method may be updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The connection is established (stream).
    Connected,
    /// The header (http) or the first byte (stream) has arrived.
    Header,
}

/// One attempt at a peer, for [`Balance::answered`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// The time of its choice.
    pub(crate) start: Now,
    /// Milliseconds until the watched moment, or the end of the attempt.
    pub(crate) millis: u64,
    /// Its outcome.
    pub(crate) outcome: Outcome,
    /// Whether the peer has answered, and the time is that of its answer.
    pub(crate) complete: bool,
}

/// A method, as held by a group.
pub(crate) type Method = Arc<dyn Balance>;

/// Smooth weighted round robin among the peers that `fits` accepts: every candidate gains its
/// effective weight, the heaviest is taken (the first of equals) and pays for all. An effective
/// weight that failures lowered recovers by one in each turn.
///
/// `places` are the peers to look at; `leader` leads at first; `fits` also gets the current leader.
pub(crate) fn smooth(
    peers: &[Arc<Peer>],
    scale: Scale,
    places: impl IntoIterator<Item = usize>,
    leader: Option<usize>,
    mut fits: impl FnMut(&Peer, Option<usize>) -> bool,
) -> (Option<usize>, i64) {
    let mut best = leader;
    let mut total = 0;
    for place in places {
        let peer = &peers[place];
        if !fits(peer, best) {
            continue;
        }
        let (current, gained) = gain(peer, scale);
        total += gained;
        if best.is_none_or(|best| current > peers[best].state.current_weight.load(Relaxed)) {
            best = Some(place);
        }
    }
    (best, total)
}

/// A candidate gains its effective weight. Returns its current weight, and what it gained.
pub(crate) fn gain(peer: &Peer, scale: Scale) -> (i64, i64) {
    let state = &peer.state;
    let effective = state.effective_weight.load(Relaxed);
    let gained = scale.of(effective, peer);
    let current = state.current_weight.load(Relaxed) + gained;
    state.current_weight.store(current, Relaxed);
    recover(peer);
    (current, gained)
}

/// An effective weight that failures lowered recovers by one.
pub(crate) fn recover(peer: &Peer) {
    let effective = peer.state.effective_weight.load(Relaxed);
    if effective < peer.weight() {
        peer.state.effective_weight.store(effective + 1, Relaxed);
    }
}

/// Charges the chosen peer the weight that all candidates gained.
pub(crate) fn pay(peer: &Peer, total: i64) {
    peer.state.current_weight.fetch_sub(total, Relaxed);
}
