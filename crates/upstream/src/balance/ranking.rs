//! The least of many peers, at a cost that hardly grows with their number: for `least_conn`, and
//! for `least_time` among equal weights.
//!
//! Peers of one weight with the same mark (the number of requests, or the expected time) are a
//! bucket, so the least ones are the first buckets of their classes. Among equals, smooth round
//! robin decides ([`smooth`](super::method::smooth) is the plain rule): all of them gain, and one
//! pays. A bucket counts the gains once for all its members, as [`Sequence`](super::sequence) does.
//! Peers that may not be candidates, or gain less than their weight, stand apart and are looked at
//! one by one; so does the one that was chosen, until its note has come.
//!
//! Requests begin and end in all threads. They leave notes ([`Moves`]), which the next choice
//! reads in its turn.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, BinaryHeap, HashMap},
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc,
        atomic::Ordering::{Acquire, Relaxed},
    },
};

use smallvec::SmallVec;

use crate::{
    balance::{
        method::{Walk, gain, pay},
        sequence::is_regular,
    },
    clock::Now,
    peer::Peer,
    server::Admission,
    set::Set,
    slow_start::Scale,
};

pub(crate) mod moves;

/// The number of peers from which on a ranking is kept. Looking at fewer costs less.
const FROM: usize = 32;

/// The limit of different weights. With more, every choice looks at every peer.
const MAX_CLASSES: usize = 16;

/// The number of gains after which a bucket starts over, so that no sum overflows.
const MAX_TURNS: i64 = 1 << 20;

/// What a method compares, relative to the weight; the least is best.
pub(crate) type Mark = fn(&Peer, Now) -> u64;

/// The ranking of a set, while it is in use. [`flush`](Self::flush) gives the current weights back
/// to the peers' state.
#[derive(Debug, Default)]
pub(crate) struct Ranking {
    built: bool,
    classes: Vec<Class>,
    /// Of each peer, the class and, unless it stands apart, its place there.
    homes: Vec<Option<Home>>,
    /// The open peers that are in no bucket, in order.
    apart: Vec<usize>,
    places: HashMap<u32, usize, BuildHasherDefault<SerialHasher>>,
    /// Memory for new buckets.
    spare: Vec<BinaryHeap<Member>>,
    /// The place in the moves.
    read: u64,
    /// The group's number of changes, and the second, when all peers were looked at.
    seen: (u64, i64),
}

#[derive(Debug)]
struct Class {
    weight: i64,
    buckets: BTreeMap<u64, Bucket>,
}

#[derive(Debug, Default)]
struct Bucket {
    /// The number of gains of all members.
    turns: i64,
    count: i64,
    /// The members, the heaviest on top; also some that have left. The top is none of these.
    members: BinaryHeap<Member>,
}

/// The current weight of a peer less the gains of its bucket, and its index: of equals, the first
/// is the largest.
type Member = (i64, Reverse<usize>);

/// How many buckets' memory is kept.
const SPARE: usize = 8;

/// Serials are different, and need no protection from those who choose keys.
#[derive(Debug, Default)]
struct SerialHasher(u64);

impl Hasher for SerialHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u32(self.0 as u32 ^ u32::from(byte)));
    }

    fn write_u32(&mut self, serial: u32) {
        self.0 = u64::from(serial).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Bucket {
    /// Adds the gains to the bases.
    fn start_over(&mut self, mark: u64, weight: i64, homes: &mut [Option<Home>]) {
        self.forget_left(mark, homes);
        let gained = weight * std::mem::take(&mut self.turns);
        let members = std::mem::take(&mut self.members);
        self.members = members.into_iter().map(|(base, place)| (base + gained, place)).collect();
        for (base, Reverse(place)) in &self.members {
            if let Some(Home { inside: Some((_, known)), .. }) = &mut homes[*place] {
                *known = *base;
            }
        }
    }

    /// Forgets those that have left, and second entries of those that have come back.
    fn forget_left(&mut self, mark: u64, homes: &[Option<Home>]) {
        let mut members = std::mem::take(&mut self.members).into_vec();
        members.retain(|member| is_in(mark, member, homes));
        members.sort_unstable();
        members.dedup();
        self.members = members.into();
    }

    /// Brings a member to the top.
    fn tidy(&mut self, mark: u64, homes: &[Option<Home>]) {
        while self.members.peek().is_some_and(|member| !is_in(mark, member, homes)) {
            self.members.pop();
        }
        if self.members.len() as i64 > 2 * self.count + 64 {
            self.forget_left(mark, homes);
        }
    }
}

fn is_in(mark: u64, (base, Reverse(place)): &Member, homes: &[Option<Home>]) -> bool {
    homes[*place].is_some_and(|home| home.inside == Some((mark, *base)))
}

#[derive(Clone, Copy, Debug)]
struct Home {
    class: usize,
    /// The mark of the bucket, and the base in it.
    inside: Option<(u64, i64)>,
}

impl Ranking {
    /// Whether a ranking can be kept for a set.
    pub(crate) fn suits(set: &Set) -> bool {
        set.peers.len() >= FROM && !set.is_scaled && set.weights <= MAX_CLASSES
    }

    /// The least peer by the marks relative to the weights; round robin among equals.
    pub(crate) fn least(&mut self, set: &Set, walk: &Walk, mark: Mark, now: Now) -> Option<usize> {
        self.refresh(set, mark, now);
        let place = |serial: &u64| self.places.get(&(*serial as u32)).copied();
        let mut tried: Vec<usize> = walk.tried.iter().filter_map(place).collect();
        tried.retain(|place| self.part(set, *place));
        let chosen = self.choose(set, walk, mark, now);
        tried.into_iter().for_each(|place| self.settle(set, place, mark, now));
        chosen
    }

    fn choose(&mut self, set: &Set, walk: &Walk, mark: Mark, now: Now) -> Option<usize> {
        loop {
            let able = |place: &&usize| walk.may_take(&set.peers[**place], now);
            let apart: SmallVec<[(u64, usize); 4]> = (self.apart.iter().filter(able))
                .map(|&place| (mark(&set.peers[place], now), place))
                .collect();
            let best = self.best(set, &apart)?;
            let is_best = |mark, weight| compare((mark, weight), best).is_eq();
            let equals: SmallVec<[usize; 4]> = (apart.into_iter())
                .filter(|(mark, place)| is_best(*mark, set.peers[*place].weight()))
                .map(|(_, place)| place)
                .collect();
            let firsts = self.classes.iter().enumerate().filter_map(|(class, it)| {
                let (mark, _) = it.buckets.first_key_value()?;
                is_best(*mark, it.weight).then_some(class)
            });
            let firsts: SmallVec<[usize; 4]> = firsts.collect();
            // The notice of a change may be under way.
            let place = self.heaviest(set, &equals, &firsts);
            if let Some(place) = place
                && !set.peers[place].is_available(now)
                && self.part(set, place)
            {
                continue;
            }
            return self.turn(set, &equals, &firsts);
        }
    }

    /// The least mark with its weight.
    fn best(&self, set: &Set, apart: &[(u64, usize)]) -> Option<(u64, i64)> {
        let apart = apart.iter().map(|&(mark, place)| (mark, set.peers[place].weight()));
        let firsts = self.classes.iter().filter_map(|class| {
            class.buckets.first_key_value().map(|(&mark, _)| (mark, class.weight))
        });
        apart.chain(firsts).min_by(|one, two| compare(*one, *two))
    }

    /// The member of first buckets that is the heaviest, before a turn.
    fn heaviest(&self, set: &Set, equals: &[usize], firsts: &[usize]) -> Option<usize> {
        let inside = firsts.iter().filter_map(|&class| self.first_of(class));
        let gained = |place: usize| set.peers[place].weight();
        let inside = inside.map(|(current, place)| (current + gained(place), Reverse(place)));
        let outside = equals.iter().map(|&place| {
            let state = &set.peers[place].state;
            let sum = state.current_weight.load(Relaxed) + state.effective_weight.load(Relaxed);
            (sum, Reverse(place))
        });
        inside.chain(outside).max().map(|(_, Reverse(place))| place)
    }

    /// The heaviest of the first bucket of a class, the first of equals.
    fn first_of(&self, class: usize) -> Option<(i64, usize)> {
        let Class { weight, buckets } = &self.classes[class];
        let (_, bucket) = buckets.first_key_value()?;
        let (base, Reverse(place)) = *bucket.members.peek()?;
        Some((base + weight * bucket.turns, place))
    }

    /// Equals: the only one is taken as it is; of more, all gain, and the heaviest pays.
    fn turn(&mut self, set: &Set, equals: &[usize], firsts: &[usize]) -> Option<usize> {
        let first = |class: &usize| self.classes[*class].buckets.first_key_value();
        let inside = firsts.iter().filter_map(first).map(|(_, bucket)| bucket.count);
        if inside.sum::<i64>() + equals.len() as i64 == 1 {
            return self.heaviest(set, equals, firsts);
        }
        let mut total = 0;
        let mut best: Option<(i64, Reverse<usize>)> = None;
        for &place in equals {
            let (current, gained) = gain(&set.peers[place], Scale::Units);
            total += gained;
            best = best.max(Some((current, Reverse(place))));
        }
        for &class in firsts {
            let Class { weight, buckets } = &mut self.classes[class];
            let Some(mut entry) = buckets.first_entry() else { continue };
            let mark = *entry.key();
            let bucket = entry.get_mut();
            if bucket.turns >= MAX_TURNS {
                bucket.start_over(mark, *weight, &mut self.homes);
            }
            bucket.turns += 1;
            total += *weight * bucket.count;
            let (current, place) = self.first_of(class)?;
            best = best.max(Some((current, Reverse(place))));
        }
        let (_, Reverse(place)) = best?;
        // It will not be in this bucket any more.
        self.part(set, place);
        pay(&set.peers[place], total);
        Some(place)
    }

    /// Brings the ranking up to date with the peers.
    fn refresh(&mut self, set: &Set, mark: Mark, now: Now) {
        let moves = set.moves.as_deref();
        // Times change as seconds pass, and requests from before a reload to this method leave no
        // notes.
        let seen = (set.changes.load(Acquire), now.seconds);
        if !self.built {
            *self = Self::build(set);
            self.read = moves.map_or(0, moves::Moves::follow);
        } else if self.seen == seen {
            let (mut moved, read) = (SmallVec::<[usize; 8]>::new(), self.read);
            let next = moves.and_then(|moves| {
                moves.read(read, |serial| moved.extend(self.places.get(&serial).copied()))
            });
            if let Some(next) = next {
                self.read = next;
                moved.into_iter().for_each(|place| self.settle(set, place, mark, now));
                return;
            }
            self.read = moves.map_or(0, moves::Moves::follow);
        }
        self.seen = seen;
        (0..set.peers.len()).for_each(|place| self.settle(set, place, mark, now));
    }

    /// All open peers apart.
    fn build(set: &Set) -> Self {
        let mut built = Self { built: true, ..Self::default() };
        for (place, peer) in set.peers.iter().enumerate() {
            built.places.insert(peer.serial() as u32, place);
            if peer.limits.admission != Admission::Open {
                built.homes.push(None);
                continue;
            }
            let (weight, classes) = (peer.weight(), &mut built.classes);
            let class = classes.iter().position(|class| class.weight == weight);
            let class = class.unwrap_or_else(|| {
                classes.push(Class { weight, buckets: BTreeMap::new() });
                classes.len() - 1
            });
            built.homes.push(Some(Home { class, inside: None }));
            built.apart.push(place);
        }
        built
    }

    /// Puts a peer where it belongs.
    fn settle(&mut self, set: &Set, place: usize, mark: Mark, now: Now) {
        let Some(Home { class, inside }) = self.homes[place] else { return };
        let peer = &set.peers[place];
        if !is_regular(peer) {
            self.part(set, place);
            return;
        }
        let mark = mark(peer, now);
        if inside.is_some_and(|(known, _)| known == mark) {
            return;
        }
        let current = self.leave(place).unwrap_or_else(|| {
            if let Ok(at) = self.apart.binary_search(&place) {
                self.apart.remove(at);
            }
            peer.state.current_weight.load(Relaxed)
        });
        self.enter(place, class, mark, current);
    }

    /// Moves a peer apart; returns whether it was not.
    fn part(&mut self, set: &Set, place: usize) -> bool {
        let Some(current) = self.leave(place) else { return false };
        set.peers[place].state.current_weight.store(current, Relaxed);
        if let Err(at) = self.apart.binary_search(&place) {
            self.apart.insert(at, place);
        }
        true
    }

    /// Takes a peer out of its bucket. Returns its current weight.
    fn leave(&mut self, place: usize) -> Option<i64> {
        let Home { class, inside } = self.homes[place].as_mut()?;
        let (mark, base) = inside.take()?;
        let Class { weight, buckets } = &mut self.classes[*class];
        let bucket = buckets.get_mut(&mark)?;
        bucket.count -= 1;
        let current = base + *weight * bucket.turns;
        if bucket.count > 0 {
            bucket.tidy(mark, &self.homes);
        } else if let Some(Bucket { mut members, .. }) = buckets.remove(&mark)
            && self.spare.len() < SPARE
        {
            members.clear();
            self.spare.push(members);
        }
        Some(current)
    }

    /// Puts a peer into a bucket, with its current weight.
    fn enter(&mut self, place: usize, class: usize, mark: u64, current: i64) {
        let Class { weight, buckets } = &mut self.classes[class];
        let bucket = buckets.entry(mark).or_insert_with(|| Bucket {
            members: self.spare.pop().unwrap_or_default(),
            ..Bucket::default()
        });
        let base = current - *weight * bucket.turns;
        self.homes[place] = Some(Home { class, inside: Some((mark, base)) });
        bucket.count += 1;
        bucket.members.push((base, Reverse(place)));
    }

    /// Gives the current weights back to the state of the peers that are to keep them, and begins
    /// anew.
    pub(crate) fn flush(&mut self, set: &Set, keeps: impl Fn(&Arc<Peer>) -> bool) {
        for (place, peer) in set.peers.iter().enumerate().take(self.homes.len()) {
            if let Some(current) = self.leave(place).filter(|_| keeps(peer)) {
                peer.state.current_weight.store(current, Relaxed);
            }
        }
        *self = Self::default();
    }
}

/// Compares two marks relative to their weights.
fn compare(one: (u64, i64), two: (u64, i64)) -> Ordering {
    let weighed = |mark: u64, weight: i64| u128::from(mark) * u128::from(weight.unsigned_abs());
    weighed(one.0, two.1).cmp(&weighed(two.0, one.1))
}

#[cfg(test)]
mod tests;
