//! Smooth weighted round robin, the default method.

use std::sync::atomic::Ordering::Relaxed;

use crate::balance::method::{Balance, Choice, Turn, pay, smooth};
use crate::health::Health;
use crate::server::Admission;

/// Round robin.
#[derive(Debug)]
pub(crate) struct RoundRobin;

impl Balance for RoundRobin {
    fn choose(&self, turn: &mut Turn<'_>) -> Choice {
        let place = if turn.set.single { only(turn) } else { weighted(turn) };
        place.map_or(Choice::Nobody, Choice::Peer)
    }
}

/// The only peer of a group is taken despite failures, as there is no alternative.
fn only(turn: &Turn<'_>) -> Option<usize> {
    if let Some(place) = turn.walk.hinted(turn.set, turn.now) {
        return Some(place);
    }
    let peer = turn.set.peers.first()?;
    let takes = peer.limits.admission == Admission::Open
        && peer.state.health() == Health::Good
        && !peer.is_full();
    takes.then_some(0)
}

fn weighted(turn: &Turn<'_>) -> Option<usize> {
    let Turn { set, walk, now, .. } = turn;
    let (hinted, scale) = (walk.hinted(set, *now), set.scale(*now));
    if let Some(place) = hinted {
        // A peer that sticky requests keep choosing goes into debt. Its debt is limited to the
        // others' weights, so that they do not get a burst once the session ends.
        let peer = &set.peers[place];
        let limit = -scale.whole(set.total_weight - peer.weight());
        if peer.state.current_weight.load(Relaxed) <= limit {
            return Some(place);
        }
    }
    let (best, total) = smooth(&set.peers, scale, None, |peer, _| walk.may_take(peer, *now));
    let best = hinted.or(best)?;
    pay(&set.peers[best], total);
    Some(best)
}
