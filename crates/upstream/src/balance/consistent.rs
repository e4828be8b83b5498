//! `hash KEY consistent`: a ring of points (ketama), so that adding or removing a peer moves only
//! its own share of the keys. Compatible with Cache::Memcached::Fast.

use crate::{
    balance::method::{Balance, Choice, MAX_REHASHES, Request, Turn, Walk, pay, smooth},
    set::Sets,
};

/// Balancing by a ring of points.
#[derive(Debug)]
pub(crate) struct Consistent;

impl Balance for Consistent {
    fn knows_backup(&self) -> bool {
        false
    }

    fn key(&self, request: &Request<'_>) -> Vec<u8> {
        request.key.to_vec()
    }

    fn start(&self, sets: &Sets, walk: &mut Walk) {
        walk.hash = sets.points.after(crc32fast::hash(&walk.key));
    }

    fn needs_ring(&self) -> bool {
        true
    }

    fn choose(&self, turn: &mut Turn<'_>) -> Choice {
        let Turn { sets, set, walk, now, .. } = turn;
        if walk.tries > MAX_REHASHES || set.single || walk.key.is_empty() {
            return Choice::RoundRobin;
        }
        if set.peers.is_empty() {
            return Choice::Busy;
        }
        if let Some(place) = walk.hinted(set, *now) {
            return Choice::Peer(place);
        }
        loop {
            let Some(server) = sets.points.server(walk.hash) else { return Choice::RoundRobin };
            let (best, total) = smooth(&set.peers, set.scale(*now), None, |peer, _| {
                walk.may_take(peer, *now) && peer.server == server
            });
            if let Some(place) = best {
                pay(&set.peers[place], total);
                return Choice::Peer(place);
            }
            walk.hash = walk.hash.wrapping_add(1);
            walk.tries += 1;
            if walk.tries > MAX_REHASHES {
                return Choice::RoundRobin;
            }
        }
    }
}
