//! Balancing methods: how a group chooses the peer of a request.
//!
//! A method is one file in `balance/`: its directive, and a [`Balance`] that chooses. It gets its
//! entry in [`TABLES`]. Sequences are equal to nginx's, peer by peer: sessions and caches behind a
//! load balancer depend on them.

pub(crate) mod consistent;
pub(crate) mod hash;
pub(crate) mod ip_hash;
pub(crate) mod least_conn;
pub(crate) mod least_time;
pub(crate) mod random;
pub(crate) mod round_robin;
#[cfg(test)]
mod sequences;

use std::{fmt, sync::Arc};

use smallvec::SmallVec;
use weir_conf::Table;

use crate::{
    clock::Now,
    group::Request,
    peer::{Admission, Peer},
    set::{Set, Sets},
    slow_start::Scale,
};

/// The directives of all methods.
pub(crate) const TABLES: &[&Table] =
    &[&hash::TABLE, &ip_hash::TABLE, &least_conn::TABLE, &least_time::TABLE, &random::TABLE];

/// How often a method that hashes or throws dice tries again before it leaves the choice to round
/// robin.
pub(crate) const MAX_REHASHES: u32 = 20;

/// What a method decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The peer at this place of the set.
    Peer(usize),
    /// Nobody in this set; the backup servers may be asked.
    Nobody,
    /// Nobody at all.
    Busy,
    /// Round robin shall choose, here and among the backup servers.
    RoundRobin,
}

/// What a request has behind it: how far its walk over the peers has come.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// Peers of the current set that were tried, by the serial of their state.
    pub(crate) tried: SmallVec<[u64; 4]>,
    /// What `sticky` asks for: the sid of a peer; empty is nothing.
    pub(crate) hint: Vec<u8>,
    /// What is hashed, if the method hashes.
    pub(crate) key: Vec<u8>,
    /// Where hashing stands.
    pub(crate) hash: u32,
    /// How often the key was hashed.
    pub(crate) rehash: u32,
    /// How many choices were of no use.
    pub(crate) tries: u32,
    /// The method has prepared the walk.
    pub(crate) started: bool,
    /// Among the backup servers.
    pub(crate) on_backup: bool,
    /// The current peer was the only one of its group when it was chosen.
    pub(crate) single: bool,
}

impl Walk {
    pub(crate) fn was_tried(&self, peer: &Peer) -> bool {
        self.tried.contains(&peer.serial())
    }

    /// May this peer take the request, as far as it is free to go anywhere?
    pub(crate) fn may_take(&self, peer: &Peer, now: Now) -> bool {
        !self.was_tried(peer) && peer.is_available(now)
    }

    /// The peer that `sticky` asks for, if it can take a request. Draining peers can.
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

/// One turn of a method: everything it may look at.
pub(crate) struct Turn<'a> {
    pub(crate) sets: &'a Sets,
    pub(crate) set: &'a Set,
    pub(crate) walk: &'a mut Walk,
    pub(crate) random: &'a mut fastrand::Rng,
    pub(crate) now: Now,
}

/// How a method is asked by the groups that use it. Called under the lock of the group.
pub(crate) trait Balance: fmt::Debug + Send + Sync {
    /// What is hashed of a request.
    fn key(&self, _request: &Request<'_>) -> Vec<u8> {
        Vec::new()
    }

    /// Prepares the walk of a request, before its first choice.
    fn start(&self, _sets: &Sets, _walk: &mut Walk) {}

    /// Chooses a peer of the set.
    fn choose(&self, turn: &mut Turn<'_>) -> Choice;

    /// A peer was taken for a request; says whether its time is to be followed.
    fn taken(&self, _peer: &Peer, _now: Now) -> bool {
        false
    }

    /// Which measured moment of a response feeds the method before the request is over.
    fn watched(&self) -> Option<Moment> {
        None
    }

    /// Asks backup servers when nobody else can take a request.
    fn knows_backup(&self) -> bool {
        true
    }

    /// Heeds weights that grow: nginx refuses `slow_start` with those that refuse `backup`.
    fn knows_slow_start(&self) -> bool {
        self.knows_backup()
    }

    /// Needs the ring of a consistent hash.
    fn needs_ring(&self) -> bool {
        false
    }
}

/// A moment in the life of an upstream request that a method may want to know at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The connection is up (stream).
    Connected,
    /// The header (http) or the first byte (stream) is here.
    Header,
}

/// A method as a group holds it.
pub(crate) type Method = Arc<dyn Balance>;

/// Smooth weighted round robin among the peers that `fits` lets through: every candidate gains its
/// effective weight, the heaviest is taken (the first of equals) and pays for all.
///
/// `from` is where to begin and who leads there, if anyone does; `fits` is also told who leads.
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

/// The chosen peer pays the weight that all candidates gained.
pub(crate) fn pay(peer: &Peer, total: i64) {
    use std::sync::atomic::Ordering::Relaxed;
    peer.state.current_weight.fetch_sub(total, Relaxed);
}
