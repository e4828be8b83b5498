//! Smooth weighted round robin with a cost that hardly grows with the number of peers.
//!
//! In a turn, every candidate gains its weight, and the first of the heaviest pays for all
//! ([`smooth`](super::method::smooth) is that rule as it stands). Peers of one weight keep their
//! order while they gain, so each class of them is a [`Tournament`] over their weights less what
//! all have gained, and a turn changes only one entry. Peers that may not be candidates, or whose
//! effective weight is not their full one, stand apart and are looked at one by one.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::Acquire, Ordering::Relaxed},
};

use crate::{
    balance::{
        method::{Walk, gain},
        sequence::tournament::Tournament,
    },
    clock::Now,
    peer::Peer,
    server::Admission,
    set::Set,
    slow_start::Scale,
};

mod tournament;

/// The limit of different weights. With more, every turn looks at every peer.
const MAX_CLASSES: usize = 16;

/// The number of turns after which gains are added to the weights, so that no sum overflows.
const MAX_TURNS: i64 = 1 << 20;

/// The current weights of the peers of a set, while this is in use. [`flush`](Self::flush) gives
/// them back to the peers' state.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    built: bool,
    classes: Vec<Class>,
    /// Class and place in it of each peer; `None` for peers that are never candidates.
    homes: Vec<Option<(usize, usize)>>,
    /// The open peers that are in no class, in order. Their weights are in their state.
    apart: Vec<usize>,
    /// The number of turns since gains were added.
    turns: i64,
    /// The group's number of changes when the classes were looked through.
    seen: u64,
}

/// The peers of one weight.
#[derive(Debug)]
struct Class {
    weight: i64,
    /// Their indices in the set.
    members: Vec<usize>,
    /// Their current weights less the gains of all turns; those apart are absent.
    bases: Tournament,
}

impl Sequence {
    /// Whether the sequence can be kept for a set.
    pub(crate) fn suits(set: &Set) -> bool {
        !set.is_scaled && set.weights <= MAX_CLASSES
    }

    /// One turn: returns the chosen peer, which has paid. `hinted` is to be chosen in any case.
    pub(crate) fn turn(
        &mut self,
        set: &Set,
        walk: &Walk,
        hinted: Option<usize>,
        now: Now,
    ) -> Option<usize> {
        self.refresh(set);
        let tried = self.take_tried_out(set, walk);
        let mut total = 0;
        let mut best: Option<(i64, usize)> = None;
        for &place in &self.apart {
            let peer = &set.peers[place];
            if !walk.may_take(peer, now) {
                continue;
            }
            let (current, gained) = gain(peer, Scale::Units);
            total += gained;
            if best.is_none_or(|(most, _)| current > most) {
                best = Some((current, place));
            }
        }
        self.turns += 1;
        for class in 0..self.classes.len() {
            let Some((base, place)) = self.first_of(class, set, now) else { continue };
            let Class { weight, bases, .. } = &self.classes[class];
            total += weight * bases.count();
            let current = base + weight * self.turns;
            if best.is_none_or(|(most, first)| (current, first) > (most, place)) {
                best = Some((current, place));
            }
        }
        let chosen = hinted.or(best.map(|(_, place)| place));
        if let Some(place) = chosen {
            self.pay(set, place, total);
        }
        self.put_back(tried);
        self.admit(set);
        chosen
    }

    /// The current weight of a peer.
    pub(crate) fn current_weight(&mut self, set: &Set, place: usize) -> i64 {
        self.refresh(set);
        let base = self.homes[place].and_then(|(class, slot)| {
            let Class { weight, bases, .. } = &self.classes[class];
            Some(bases.get(slot)? + weight * self.turns)
        });
        base.unwrap_or_else(|| set.peers[place].state.current_weight.load(Relaxed))
    }

    /// Charges a peer the weight that all candidates gained.
    fn pay(&mut self, set: &Set, place: usize, total: i64) {
        if let Some((class, slot)) = self.homes[place]
            && let Some(base) = self.classes[class].bases.get(slot)
        {
            self.classes[class].bases.set(slot, Some(base - total));
        } else {
            set.peers[place].state.current_weight.fetch_sub(total, Relaxed);
        }
    }

    /// The heaviest peer of a class, the first of equals. A peer that cannot take requests leaves
    /// the class: the notice of its change is under way, or another configuration got it.
    fn first_of(&mut self, class: usize, set: &Set, now: Now) -> Option<(i64, usize)> {
        loop {
            let Class { members, bases, .. } = &self.classes[class];
            let (slot, base) = bases.best()?;
            let place = members[slot];
            if set.peers[place].is_available(now) {
                return Some((base, place));
            }
            // The turn that is under way does not count for it.
            self.part(set, place, self.turns - 1);
        }
    }

    /// Takes tried peers out of their classes for one turn. Returns their places and weights.
    fn take_tried_out(&mut self, set: &Set, walk: &Walk) -> Vec<(usize, usize, i64)> {
        let mut tried = Vec::new();
        if walk.tried.is_empty() {
            return tried;
        }
        for (place, peer) in set.peers.iter().enumerate() {
            let Some((class, slot)) = self.homes[place].filter(|_| walk.was_tried(peer)) else {
                continue;
            };
            let bases = &mut self.classes[class].bases;
            if let Some(base) = bases.get(slot) {
                bases.set(slot, None);
                tried.push((class, slot, base));
            }
        }
        tried
    }

    /// Puts tried peers back after a turn in which they did not gain.
    fn put_back(&mut self, tried: Vec<(usize, usize, i64)>) {
        for (class, slot, base) in tried {
            let Class { weight, bases, .. } = &mut self.classes[class];
            bases.set(slot, Some(base - *weight));
        }
    }

    /// Brings the classes up to date with changed peers.
    fn refresh(&mut self, set: &Set) {
        let changes = set.changes.load(Acquire);
        if !self.built {
            *self = Self::build(set);
            self.seen = changes;
            self.admit(set);
            return;
        }
        if self.turns >= MAX_TURNS {
            for Class { weight, bases, .. } in &mut self.classes {
                bases.add_to_all(*weight * self.turns);
            }
            self.turns = 0;
        }
        if changes == self.seen {
            return;
        }
        self.seen = changes;
        for (place, peer) in set.peers.iter().enumerate() {
            if !is_regular(peer) {
                self.part(set, place, self.turns);
            }
        }
    }

    /// All open peers apart.
    fn build(set: &Set) -> Self {
        let mut built = Self { built: true, ..Self::default() };
        // Until its end, the configuration before a reload may have gone on in another unit.
        let most = if set.has_new_unit() { set.total_weight } else { i64::MAX };
        for peer in &set.peers {
            let current = &peer.state.current_weight;
            current.store(current.load(Relaxed).clamp(-most, most), Relaxed);
        }
        for (place, peer) in set.peers.iter().enumerate() {
            if peer.limits.admission != Admission::Open {
                built.homes.push(None);
                continue;
            }
            let weight = peer.weight();
            let classes = &mut built.classes;
            let class = classes.iter().position(|class| class.weight == weight);
            let class = class.unwrap_or_else(|| {
                classes.push(Class { weight, members: Vec::new(), bases: Tournament::default() });
                classes.len() - 1
            });
            let members = &mut classes[class].members;
            built.homes.push(Some((class, members.len())));
            members.push(place);
            built.apart.push(place);
        }
        for class in &mut built.classes {
            class.bases = Tournament::new(class.members.len());
        }
        built
    }

    /// Moves peers apart to their classes, if they can be candidates from now on.
    fn admit(&mut self, set: &Set) {
        let Self { classes, homes, apart, turns, .. } = self;
        apart.retain(|&place| {
            let peer = &set.peers[place];
            let Some((class, slot)) = homes[place].filter(|_| is_regular(peer)) else {
                return true;
            };
            let Class { weight, bases, .. } = &mut classes[class];
            let current = peer.state.current_weight.load(Relaxed);
            bases.set(slot, Some(current - *weight * *turns));
            false
        });
    }

    /// Moves a peer out of its class, after so many turns.
    fn part(&mut self, set: &Set, place: usize, turns: i64) {
        let Some((class, slot)) = self.homes[place] else { return };
        let Class { weight, bases, .. } = &mut self.classes[class];
        let Some(base) = bases.get(slot) else { return };
        bases.set(slot, None);
        let current = &set.peers[place].state.current_weight;
        current.store(base + *weight * turns, Relaxed);
        if let Err(at) = self.apart.binary_search(&place) {
            self.apart.insert(at, place);
        }
    }

    /// Moves these peers out of their classes, for a choice by their state.
    pub(crate) fn part_all(&mut self, set: &Set, places: &[usize]) {
        self.refresh(set);
        places.iter().for_each(|&place| self.part(set, place, self.turns));
    }

    /// Gives the current weights back to the state of the peers that are to keep them, and begins
    /// anew.
    pub(crate) fn flush(&mut self, set: &Set, keeps: impl Fn(&Arc<Peer>) -> bool) {
        if self.built {
            let members = self.classes.iter().flat_map(|class| {
                class.members.iter().enumerate().map(move |(slot, place)| (class, slot, *place))
            });
            for (class, slot, place) in members.filter(|(_, _, place)| keeps(&set.peers[*place])) {
                if let Some(base) = class.bases.get(slot) {
                    let current: &AtomicI64 = &set.peers[place].state.current_weight;
                    current.store(base + class.weight * self.turns, Relaxed);
                }
            }
        }
        *self = Self::default();
    }
}

/// Whether a peer is a candidate of every walk that has not tried it, and gains its full weight. A
/// change of that is told by [`Peer::tell_change`].
pub(super) fn is_regular(peer: &Peer) -> bool {
    let fails = peer.state.fails.load(Relaxed);
    peer.limits.admission == Admission::Open
        && peer.is_healthy()
        && (peer.limits.max_fails == 0 || fails < peer.limits.max_fails)
        && !peer.is_full()
        && peer.state.effective_weight.load(Relaxed) == peer.weight()
}

#[cfg(test)]
mod tests;
