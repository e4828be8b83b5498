//! Smooth weighted round robin, the default method.

use std::sync::atomic::Ordering::Relaxed;

use crate::balance::method::{Balance, Choice, Compared, Turn, Weighing, pay, smooth};
use crate::balance::sequence::Sequence;
use crate::server::Admission;

/// Round robin.
#[derive(Debug)]
pub(crate) struct RoundRobin;

impl Balance for RoundRobin {
    fn name(&self) -> &'static str {
        "round_robin"
    }

    fn compared(&self) -> Option<Compared> {
        Some(Compared { name: "current weight after the choice", highest: true })
    }

    fn weighs_in_turns(&self) -> bool {
        true
    }

    fn score(&self, weighing: &mut Weighing<'_>, place: usize) -> Option<f64> {
        let Weighing { sets, set, scale, turns, .. } = weighing;
        let current = match turns.as_mut().filter(|_| Sequence::suits(set)) {
            Some(turns) => turns.sequence(sets, set).current_weight(set, place),
            None => set.peers[place].state.current_weight.load(Relaxed),
        };
        Some(current as f64 / scale.whole(1) as f64)
    }

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
    let takes = peer.limits.admission == Admission::Open && peer.is_healthy() && !peer.is_full();
    takes.then_some(0)
}

fn weighted(turn: &mut Turn<'_>) -> Option<usize> {
    let Turn { sets, set, walk, now, turns, .. } = turn;
    let (hinted, scale) = (walk.hinted(set, *now), set.scale(*now));
    let sequence = turns.as_mut().filter(|_| Sequence::suits(set));
    let mut sequence = sequence.map(|turns| turns.sequence(sets, set));
    if let Some(place) = hinted {
        // A peer that sticky requests keep choosing goes into debt. Its debt is limited to the
        // others' weights, so that they do not get a burst once the session ends.
        let peer = &set.peers[place];
        let limit = -set.others(place, scale);
        let current = match &mut sequence {
            Some(sequence) => sequence.current_weight(set, place),
            None => peer.state.current_weight.load(Relaxed),
        };
        if current <= limit {
            return Some(place);
        }
    }
    if let Some(sequence) = sequence {
        return sequence.turn(set, walk, hinted, *now);
    }
    let all = 0..set.peers.len();
    let (best, total) = smooth(&set.peers, scale, all, None, |peer, _| walk.may_take(peer, *now));
    let best = hinted.or(best)?;
    pay(&set.peers[best], total);
    Some(best)
}
