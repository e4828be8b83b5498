//! The ring of a consistent hash (ketama), compatible with Cache::Memcached::Fast.

use std::{collections::HashMap, sync::Arc};

use crate::peer::Peer;

/// The number of points on the ring per unit of weight.
const POINTS: u64 = 160;

/// The limit of points on a ring, which take 128 MiB and about two seconds to make. Over it, all
/// servers get fewer in proportion.
const MAX_POINTS: u64 = 1 << 24;

/// The ring: points in ascending order, each with its server. All addresses of one server share its
/// points.
#[derive(Debug, Default)]
pub(crate) struct Points {
    /// The hash in the upper half, the server's index in the lower.
    ring: Vec<u64>,
    /// The peers of each server, as indices in their set.
    servers: Vec<Vec<usize>>,
}

impl Points {
    /// Builds the ring. A large one takes too long for a loop.
    pub(crate) fn new(peers: &[Arc<Peer>]) -> Self {
        let mut points = Self::default();
        let mut known: HashMap<&str, usize> = HashMap::new();
        for ((place, peer), count) in peers.iter().enumerate().zip(counts(peers)) {
            let server = *known.entry(&peer.server).or_insert_with(|| {
                points.servers.push(Vec::new());
                points.servers.len() - 1
            });
            points.servers[server].push(place);
            let base = base_hash(&peer.server);
            let mut previous = 0_u32;
            for _ in 0..count {
                let mut hasher = base.clone();
                hasher.update(&previous.to_le_bytes());
                previous = hasher.finalize();
                points.ring.push(u64::from(previous) << 32 | server as u64);
            }
        }
        points.ring.sort_unstable();
        points.ring.dedup_by_key(|point| *point >> 32);
        points
    }

    /// The index of the first point at or after a hash.
    pub(crate) fn after(&self, hash: u32) -> u32 {
        // Hashes are spread evenly, so the point is near its share of the ring. A search of all
        // would wait for memory at most of its steps.
        let (size, hash) = (self.ring.len(), u64::from(hash));
        let guess = ((hash * size as u64) >> 32) as usize;
        let is_before = |place: usize| self.ring[place] >> 32 < hash;
        let (mut low, mut high, mut step) = (guess, guess, 1);
        while low > 0 && !is_before(low - 1) {
            low = low.saturating_sub(step);
            step *= 2;
        }
        step = 1;
        while high < size && is_before(high) {
            high = (high + step).min(size);
            step *= 2;
        }
        let near = &self.ring[low..high];
        (low + near.partition_point(|&point| point >> 32 < hash)) as u32
    }

    /// The peers of the server at an index, wrapping around.
    pub(crate) fn places(&self, place: u32) -> Option<&[usize]> {
        let place = (place as usize).checked_rem(self.ring.len())?;
        let server = *self.ring.get(place)? as u32;
        self.servers.get(server as usize).map(Vec::as_slice)
    }
}

/// The number of points per peer. If all peers are of one server, one point suffices.
fn counts(peers: &[Arc<Peer>]) -> Vec<u64> {
    let only = peers.iter().all(|peer| peer.server == peers[0].server);
    if only {
        return vec![1; peers.len()];
    }
    let points = |peer: &Arc<Peer>| u64::from(peer.limits.weight) * POINTS;
    let total: u64 = peers.iter().map(points).sum();
    let excess = total.div_ceil(MAX_POINTS);
    peers.iter().map(|peer| (points(peer) / excess).max(1)).collect()
}

/// The server's part of a point's hash: host, a zero byte, port.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Limits;

    fn peers(weights: &[(u16, u32)]) -> Vec<Arc<Peer>> {
        let peer = |&(port, weight): &(u16, u32)| {
            let address = weir_engine::Addr::Inet(([127, 0, 0, 1], port).into());
            let limits = Limits { weight, ..Limits::default() };
            Arc::new(Peer::new(address, &format!("s:{port}"), limits, None))
        };
        weights.iter().map(peer).collect()
    }

    #[test]
    fn a_ring_has_160_points_for_a_unit_of_weight() {
        let points = Points::new(&peers(&[(1, 2), (2, 1)]));
        assert_eq!(points.ring.len(), 480);
        assert!(points.ring.is_sorted());
    }

    #[test]
    fn the_first_point_after_a_hash_is_found() {
        let mut random = fastrand::Rng::with_seed(1);
        let weights = |count: u16| (1..=count).map(|port| (port, 1)).collect::<Vec<_>>();
        for count in [0, 1, 2, 30] {
            let points = Points::new(&peers(&weights(count)));
            let known = points.ring.iter().map(|point| (point >> 32) as u32);
            let near = known.flat_map(|hash| [hash.wrapping_sub(1), hash, hash.wrapping_add(1)]);
            let others: Vec<u32> = (0..1000).map(|_| random.u32(..)).collect();
            for hash in near.chain(others).chain([0, u32::MAX]) {
                let plain = points.ring.iter().position(|point| point >> 32 >= u64::from(hash));
                let plain = plain.unwrap_or(points.ring.len());
                assert_eq!(points.after(hash) as usize, plain, "{hash} of {count}");
            }
        }
    }

    #[test]
    fn a_single_server_needs_one_point() {
        assert_eq!(Points::new(&peers(&[(1, u32::MAX)])).ring.len(), 1);
        assert_eq!(Points::new(&peers(&[(1, 9), (1, 100_000)])).ring.len(), 1);
    }

    /// The largest weights would take 10 TB.
    #[test]
    fn a_ring_has_a_limit() {
        let counts = counts(&peers(&[(1, u32::MAX), (2, 1)]));
        assert!(counts.iter().sum::<u64>() <= MAX_POINTS + 1);
        assert_eq!(counts[1], 1);
    }
}
