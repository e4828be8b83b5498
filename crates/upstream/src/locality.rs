//! `prefer_locality`: the servers near this balancer first, the others as far as those do not
//! suffice.
//!
//! The primary servers of one `locality=` are a [`Set`] of their own, so every method works in it
//! as in a group. A request draws a position, from its key if the method has one, else by its
//! number; the parts of the localities say which one that is. If nobody there can take the request,
//! it goes on to the next: the preferred ones in their order, then the others.
//!
//! ```text
//! part of a preferred locality = overflow × weight of its working servers ÷ its whole weight
//!                                at most 1 in all; what is left goes to the other localities
//! ```
//!
//! This is how Envoy spills from a priority to the next (its documentation, "Priority levels").

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed},
        },
    },
};

use smallvec::SmallVec;

use crate::{
    balance::method::Walk, clock::Now, peer::Peer, server::Admission, set::Set,
    slow_start::PARTS as PARTS_OF_WEIGHT,
};

/// The limit of a locality's name in bytes.
pub const MAX_LOCALITY: usize = 64;

/// The limit of names in one `prefer_locality`.
pub(crate) const MAX_PREFERRED: usize = 8;

/// The parameters of `prefer_locality`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalityConfig {
    /// How many requests working servers of a preferred locality take, in percent of their share of
    /// its weight. `None`: all, as long as one of them works.
    pub overflow: Option<u64>,
}

impl LocalityConfig {
    /// The default of `overflow`: with 72 % of its weight a locality still takes everything.
    pub(crate) const OVERFLOW: u64 = 140;
}

/// The parts that positions are counted in.
const PARTS: u64 = 1000;

/// A step that reaches each of so many positions before it comes to one again, far apart.
const STEP: u64 = 617;

/// The localities of the primary servers.
#[derive(Debug)]
pub(crate) struct Localities {
    config: LocalityConfig,
    /// One set for each name, in the order of their first servers.
    pub(crate) sets: Vec<Set>,
    places: HashMap<Vec<u8>, usize>,
    weights: Vec<Working>,
    /// The number of requests without a key so far.
    requests: AtomicU64,
}

type Places = SmallVec<[usize; 4]>;

/// The localities for one attempt, as places in [`Localities::sets`].
#[derive(Debug, Default)]
pub(crate) struct Order {
    /// Those to ask, the next one last.
    left: Places,
    preferred: Places,
    /// The first of the others, as long as they are not in `left`.
    others_from: Option<usize>,
}

impl Order {
    /// The current one; `None` if the primary servers are asked together.
    pub(crate) fn place(&self) -> Option<usize> {
        self.left.last().copied()
    }

    /// Goes on to the next one; returns whether there is one.
    pub(crate) fn advance(&mut self, localities: &Localities) -> bool {
        let Some(done) = self.left.pop() else { return false };
        if self.left.is_empty()
            && let Some(from) = self.others_from.take()
        {
            let count = localities.sets.len();
            let others = (from..count).chain(0..from);
            let others = others.filter(|place| *place != done && !self.preferred.contains(place));
            self.left.extend(others);
            self.left.reverse();
        }
        !self.left.is_empty()
    }
}

impl Localities {
    /// Divides the primary servers; `set` prepares those of one locality.
    pub(crate) fn new(
        peers: &[Arc<Peer>],
        config: &LocalityConfig,
        mut set: impl FnMut(Vec<Arc<Peer>>) -> Set,
    ) -> Self {
        let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut divided: Vec<Vec<Arc<Peer>>> = Vec::new();
        for peer in peers {
            let name = peer.limits.locality.as_deref().unwrap_or("").as_bytes();
            let place = *places.entry(name.to_vec()).or_insert(divided.len());
            if place == divided.len() {
                divided.push(Vec::new());
            }
            divided[place].push(Arc::clone(peer));
        }
        let weights = divided.iter().map(|_| Working::default()).collect();
        let sets = divided.into_iter().map(&mut set).collect();
        Self { config: config.clone(), sets, places, weights, requests: AtomicU64::new(0) }
    }

    /// Goes on from the count of the localities before.
    pub(crate) fn succeed(&self, before: &Self) {
        self.requests.store(before.requests.load(Relaxed), Relaxed);
    }

    /// The order for one attempt; `None` if the request prefers no locality that is here.
    pub(crate) fn order(&self, walk: &mut Walk, now: Now) -> Option<Order> {
        let mut preferred = Places::new();
        // An empty name is a variable without a value, and no locality.
        for name in walk.localities.iter().filter(|name| !name.is_empty()) {
            if let Some(&place) = self.places.get(&**name).filter(|it| !preferred.contains(it)) {
                preferred.push(place);
            }
        }
        if preferred.is_empty() {
            return None;
        }
        let position = *walk.position.get_or_insert_with(|| match &walk.key[..] {
            [] => self.requests.fetch_add(1, Relaxed).wrapping_mul(STEP) % PARTS,
            key => u64::from(crc32fast::hash(key)) % PARTS,
        });
        let (first, is_other) = self.first(position, &preferred, now);
        let mut left: Places = preferred.iter().rev().copied().collect();
        left.retain(|place| *place != first);
        left.push(first);
        Some(Order { left, preferred, others_from: Some(if is_other { first } else { 0 }) })
    }

    /// The locality at a position, and whether it is none of the preferred ones.
    fn first(&self, mut position: u64, preferred: &[usize], now: Now) -> (usize, bool) {
        let others = || (0..self.sets.len()).filter(|place| !preferred.contains(place));
        let mut left = PARTS;
        let mut parts: SmallVec<[u64; 4]> = SmallVec::new();
        for &place in preferred {
            let part = self.part(place, now).min(left);
            parts.push(part);
            left -= part;
        }
        let weight_of_others: u64 = match left {
            0 => 0,
            _ => others().fold(0, |sum, place| sum.saturating_add(self.working(place, now))),
        };
        if weight_of_others == 0 {
            // The preferred ones have to do.
            position = position * (PARTS - left) / PARTS;
        }
        for (place, part) in preferred.iter().zip(&parts) {
            if position < *part {
                return (*place, false);
            }
            position -= part;
        }
        if weight_of_others == 0 {
            return (preferred[0], false);
        }
        // In the others, a position is a weight.
        let part = u128::from(position) * u128::from(weight_of_others) / u128::from(left);
        let mut weight = part as u64;
        let is_here = |place: &usize| {
            let own = self.working(*place, now);
            let is_here = weight < own;
            weight = weight.saturating_sub(own);
            is_here
        };
        others().find(is_here).map_or((preferred[0], false), |place| (place, true))
    }

    /// What a preferred locality takes, of all requests.
    fn part(&self, place: usize, now: Now) -> u64 {
        let working = self.working(place, now);
        let all = (self.sets[place].total_weight * PARTS_OF_WEIGHT).unsigned_abs().max(1);
        match self.config.overflow {
            None => {
                if working > 0 {
                    PARTS
                } else {
                    0
                }
            }
            Some(percent) => {
                let part = u128::from(working) * u128::from(percent * PARTS / 100);
                (part / u128::from(all)).min(u128::from(PARTS)) as u64
            }
        }
    }

    fn working(&self, place: usize, now: Now) -> u64 {
        self.weights[place].read(&self.sets[place], now)
    }
}

/// The weight of the servers of a locality that work, as of a second and a number of changes of the
/// group. Threads that find it out of date at the same time compute the same.
#[derive(Debug, Default)]
struct Working {
    weight: AtomicU64,
    /// The second and the number of changes, plus one.
    seen: AtomicU64,
}

impl Working {
    fn read(&self, set: &Set, now: Now) -> u64 {
        let changes = set.changes.load(Acquire);
        let seen = (changes << 32 | now.seconds.unsigned_abs() & u64::from(u32::MAX)) + 1;
        if self.seen.load(Acquire) != seen {
            let working = set.peers.iter().filter(|peer| works(peer, now));
            // What its agent or its answers say makes a server count for more or less.
            let weight = |peer: &Arc<Peer>| peer.loaded(peer.weight() * PARTS_OF_WEIGHT);
            let weight =
                working.fold(0_u64, |sum, it| sum.saturating_add(weight(it).unsigned_abs()));
            self.weight.store(weight, Relaxed);
            self.seen.store(seen, std::sync::atomic::Ordering::Release);
        }
        self.weight.load(Relaxed)
    }
}

/// Whether a server counts: a full one does.
fn works(peer: &Peer, now: Now) -> bool {
    peer.admission() == Admission::Open && peer.is_healthy() && !peer.is_failed(now)
}

#[cfg(test)]
mod tests;
