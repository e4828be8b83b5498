//! `hash KEY consistent`: a ring of points (ketama), so that a peer that is added or removed moves
//! only its own share of the keys. Compatible with Cache::Memcached::Fast.

use std::sync::Arc;

use crate::{
    balance::{Balance, Choice, MAX_REHASHES, Turn, Walk, pay, smooth},
    group::Request,
    peer::Peer,
    set::Sets,
};

/// Points on the ring for each unit of weight.
const POINTS: u32 = 160;

/// By a ring of points.
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
            let (best, total) = smooth(&set.peers, None, |peer, _| {
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

/// The ring: points in ascending order, each with the server it belongs to. All addresses of one
/// server share its points.
#[derive(Debug, Default)]
pub(crate) struct Points {
    ring: Vec<(u32, u32)>,
    servers: Vec<String>,
}

impl Points {
    pub(crate) fn new(peers: &[Arc<Peer>]) -> Self {
        let mut points = Self::default();
        for peer in peers {
            let server = points.index(&peer.server);
            let base = base_hash(&peer.server);
            let mut previous = 0_u32;
            for _ in 0..peer.limits.weight.saturating_mul(POINTS) {
                let mut hasher = base.clone();
                hasher.update(&previous.to_le_bytes());
                previous = hasher.finalize();
                points.ring.push((previous, server));
            }
        }
        points.ring.sort_by_key(|&(hash, _)| hash);
        points.ring.dedup_by_key(|&mut (hash, _)| hash);
        points
    }

    fn index(&mut self, server: &str) -> u32 {
        let known = self.servers.iter().position(|known| known == server);
        known.unwrap_or_else(|| {
            self.servers.push(server.to_owned());
            self.servers.len() - 1
        }) as u32
    }

    /// The place of the first point at or after a hash.
    fn after(&self, hash: u32) -> u32 {
        self.ring.partition_point(|&(point, _)| point < hash) as u32
    }

    /// The server of a place, going round.
    fn server(&self, place: u32) -> Option<&str> {
        let place = (place as usize).checked_rem(self.ring.len())?;
        let (_, server) = self.ring.get(place)?;
        self.servers.get(*server as usize).map(String::as_str)
    }
}

/// The part of a point's hash that belongs to the server: host, a zero byte, port.
fn base_hash(server: &str) -> crc32fast::Hasher {
    let bytes = server.as_bytes();
    let (host, port) = if bytes.len() >= 5 && bytes[..5].eq_ignore_ascii_case(b"unix:") {
        (&bytes[5..], &b""[..])
    } else {
        let digits = bytes.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let colon = bytes.len() - digits;
        if colon > 0 && bytes[colon - 1] == b':' {
            (&bytes[..colon - 1], &bytes[colon..])
        } else {
            (bytes, &b""[..])
        }
    };
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(host);
    hasher.update(&[0]);
    hasher.update(port);
    hasher
}
