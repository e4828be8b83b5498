//! `random [two [least_conn]]`: dice, weighted.

use crate::balance::{Balance, Choice, MAX_REHASHES, Turn, least_conn::compare};

/// By chance.
#[derive(Debug)]
pub(crate) struct Random {
    /// Throw twice, take the peer with fewer connections.
    pub(crate) two: bool,
}

impl Balance for Random {
    fn choose(&self, turn: &mut Turn<'_>) -> Choice {
        let Turn { set, walk, now, random, .. } = turn;
        if walk.tries > MAX_REHASHES || set.peers.len() < 2 {
            return Choice::RoundRobin;
        }
        if let Some(place) = walk.hinted(set, *now) {
            return Choice::Peer(place);
        }
        let mut first: Option<usize> = None;
        loop {
            let place = set.at_weight(random.i64(0..set.total_weight.max(1)));
            if first != Some(place) && walk.may_take(&set.peers[place], *now) {
                match first {
                    None if self.two => {
                        // The first of two is kept; the throw itself costs no attempt's worth of
                        // luck, but it counts, so that two can always be found or given up.
                        first = Some(place);
                    }
                    Some(kept) if compare(&set.peers[place], &set.peers[kept]).is_gt() => {
                        return Choice::Peer(kept);
                    }
                    _ => return Choice::Peer(place),
                }
            }
            walk.tries += 1;
            if walk.tries > MAX_REHASHES {
                return Choice::RoundRobin;
            }
        }
    }
}
