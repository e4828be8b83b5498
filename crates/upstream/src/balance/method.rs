//! The interface of balancing methods, and the weighted choice that several share.

use std::{fmt, net::IpAddr, sync::Arc};

use smallvec::SmallVec;

use crate::{
    clock::Now,
    peer::Peer,
    server::Admission,
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
    /// Whether the method has prepared the walk.
    pub(crate) started: bool,
    /// Whether the walk is among the backup servers.
    pub(crate) on_backup: bool,
    /// Whether the current peer was the only one of its group when it was chosen.
    pub(crate) single: bool,
}

impl Walk {
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
        let place = set.peers.iter().position(|peer| peer.sid.as_bytes() == self.hint)?;
        let peer = &set.peers[place];
        let takes =
            !self.was_tried(peer) && peer.limits.admission != Admission::Down && peer.is_well(now);
        takes.then_some(place)
    }
}

/// The input of one choice.
pub(crate) struct Turn<'a> {
    pub(crate) sets: &'a Sets,
    pub(crate) set: &'a Set,
    pub(crate) walk: &'a mut Walk,
    pub(crate) random: &'a mut fastrand::Rng,
    pub(crate) now: Now,
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
}

/// The operations of a method. Called under the group's lock.
pub(crate) trait Balance: fmt::Debug + Send + Sync {
    /// The part of a request to hash.
    fn key(&self, _request: &Request<'_>) -> Vec<u8> {
        Vec::new()
    }

    /// Prepares the walk of a request, before its first choice.
    fn start(&self, _sets: &Sets, _walk: &mut Walk) {}

    /// Chooses a peer of the set.
    fn choose(&self, turn: &mut Turn<'_>) -> Choice;

    /// Called when a peer is taken for a request; returns whether to measure its unfinished time.
    fn taken(&self, _peer: &Peer, _now: Now) -> bool {
        false
    }

    /// The moment of a response that updates the method before the request ends.
    fn watched(&self) -> Option<Moment> {
        None
    }

    /// Whether backup servers are supported.
    fn knows_backup(&self) -> bool {
        true
    }

    /// Whether growing weights are supported: nginx refuses `slow_start` where it refuses `backup`.
    fn knows_slow_start(&self) -> bool {
        self.knows_backup()
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

/// A method, as held by a group.
pub(crate) type Method = Arc<dyn Balance>;

/// Smooth weighted round robin among the peers that `fits` accepts: every candidate gains its
/// effective weight, the heaviest is taken (the first of equals) and pays for all. An effective
/// weight that failures lowered recovers by one in each turn.
///
/// `from` is the index to begin at, and the initial leader; `fits` also gets the current leader.
pub(crate) fn smooth(
    peers: &[Arc<Peer>],
    scale: Scale,
    from: Option<usize>,
    mut fits: impl FnMut(&Peer, Option<usize>) -> bool,
) -> (Option<usize>, i64) {
    use std::sync::atomic::Ordering::Relaxed;
    let mut best = from;
    let mut total = 0;
    for (place, peer) in peers.iter().enumerate().skip(from.unwrap_or(0)) {
        if !fits(peer, best) {
            continue;
        }
        let state = &peer.state;
        let effective = state.effective_weight.load(Relaxed);
        let gain = scale.of(effective, peer);
        let current = state.current_weight.load(Relaxed) + gain;
        state.current_weight.store(current, Relaxed);
        total += gain;
        if effective < peer.weight() {
            state.effective_weight.store(effective + 1, Relaxed);
        }
        if best.is_none_or(|best| current > peers[best].state.current_weight.load(Relaxed)) {
            best = Some(place);
        }
    }
    (best, total)
}

/// Charges the chosen peer the weight that all candidates gained.
pub(crate) fn pay(peer: &Peer, total: i64) {
    use std::sync::atomic::Ordering::Relaxed;
    peer.state.current_weight.fetch_sub(total, Relaxed);
}
