//! `hash KEY consistent [balance=PERCENT]`: a ring of points (ketama), so that adding or removing a
//! peer moves only its own share of the keys. Compatible with Cache::Memcached::Fast.

use crate::{
    balance::method::{Balance, Choice, MAX_REHASHES, Request, Turn, Walk, pay, recover, smooth},
    balance::sequence::Sequence,
    set::Set,
};

pub(crate) mod bound;

/// The limit of points on the way to a peer with room. After that, all peers are asked.
const MAX_POINTS: usize = 1000;

/// Balancing by a ring of points.
#[derive(Debug)]
pub(crate) struct Consistent {
    /// The most that a peer may have of its share of the active requests, in percent.
    pub(crate) balance: Option<u64>,
}

impl Balance for Consistent {
    fn name(&self) -> &'static str {
        "hash consistent"
    }

    fn knows_backup(&self) -> bool {
        false
    }

    fn key(&self, request: &Request<'_>) -> Vec<u8> {
        request.key.to_vec()
    }

    fn start(&self, set: &Set, walk: &mut Walk) {
        walk.hash = set.points.after(crc32fast::hash(&walk.key));
    }

    fn needs_ring(&self) -> bool {
        true
    }

    fn counts_active(&self) -> bool {
        self.balance.is_some()
    }

    fn choose(&self, turn: &mut Turn<'_>) -> Choice {
        if turn.walk.tries > MAX_REHASHES || turn.set.single || turn.walk.key.is_empty() {
            return Choice::RoundRobin;
        }
        if turn.set.peers.is_empty() {
            return Choice::Busy;
        }
        if let Some(place) = turn.walk.hinted(turn.set, turn.now) {
            return Choice::Peer(place);
        }
        if let Some(place) = self.balance.and_then(|percent| with_room(turn, percent)) {
            return Choice::Peer(place);
        }
        loop {
            let Some(places) = turn.set.points.places(turn.walk.hash) else {
                return Choice::RoundRobin;
            };
            if let Some(place) = one_of(turn, places, |_, _| true) {
                return Choice::Peer(place);
            }
            turn.walk.hash = turn.walk.hash.wrapping_add(1);
            turn.walk.tries += 1;
            if turn.walk.tries > MAX_REHASHES {
                return Choice::RoundRobin;
            }
        }
    }
}

/// One of the peers of a server that can take the request and fit.
fn one_of(
    turn: &mut Turn<'_>,
    places: &[usize],
    fits: impl Fn(&Turn<'_>, usize) -> bool,
) -> Option<usize> {
    let set = turn.set;
    if let [place] = *places {
        let takes = turn.walk.may_take(&set.peers[place], turn.now) && fits(turn, place);
        // What it gains in a turn it pays at once.
        return takes.then(|| recover(&set.peers[place])).map(|()| place);
    }
    if let Some(turns) = turn.turns.as_mut().filter(|_| Sequence::suits(set)) {
        turns.sequence(turn.sets, set).part_all(set, places);
    }
    let fitting: Vec<usize> = places
        .iter()
        .copied()
        .filter(|&place| turn.walk.may_take(&set.peers[place], turn.now) && fits(turn, place))
        .collect();
    let (best, total) = smooth(&set.peers, set.scale(turn.now), fitting, None, |_, _| true);
    best.inspect(|&place| pay(&set.peers[place], total))
}

/// The next peer on the ring that can take the request and has room. `None` if nobody has.
fn with_room(turn: &mut Turn<'_>, percent: u64) -> Option<usize> {
    let (sets, set, now) = (turn.sets, turn.set, turn.now);
    turn.turns.as_mut()?.shares(sets, set).refresh(set, now);
    let has_room = |turn: &Turn<'_>, place: usize| {
        let shares = turn.turns.as_ref().map(|turns| turns.known_shares(set));
        shares.flatten().is_none_or(|shares| shares.has_room(set, place, percent))
    };
    for step in 0..MAX_POINTS {
        let places = set.points.places(turn.walk.hash.wrapping_add(step as u32))?;
        if let Some(place) = one_of(turn, places, has_room) {
            return Some(place);
        }
    }
    let (start, count) = (turn.walk.hash as usize, set.peers.len());
    let mut others = (0..count).map(|step| (start + step) % count);
    others.find(|&place| turn.walk.may_take(&set.peers[place], now) && has_room(turn, place))
}

#[cfg(test)]
mod tests;
