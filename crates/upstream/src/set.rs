//! The peers of a group, prepared for balancing: primary and `backup` servers.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed},
    },
};

use crate::{
    balance::{ewma::aged::Aged, ranking::moves::Moves},
    clock::Now,
    loads::Loads,
    locality::{Localities, LocalityConfig},
    peer::Peer,
    ring::Points,
    server::{Admission, ServerId, SlowStart},
    slow_start::{Scale, steps::Stepped},
};

/// The number of the primary set.
const PRIMARY: usize = 0;

/// The number of the backup set.
const BACKUP: usize = 1;

/// The number of the first set of a locality.
const FIRST_LOCALITY: usize = 2;

/// The primary or the backup peers, or the primary ones of a locality, in the order of the
/// configuration.
#[derive(Debug, Default)]
pub(crate) struct Set {
    pub(crate) peers: Vec<Arc<Peer>>,
    /// Its number among the sets of its group.
    pub(crate) index: usize,
    /// The sum of the weights.
    pub(crate) total_weight: i64,
    /// The only peer of the whole group, which is taken despite failures.
    pub(crate) single: bool,
    /// Whether the peers are balanced in parts of a weight: one has a slow start, or they say what
    /// they can take.
    pub(crate) is_scaled: bool,
    stepped: Stepped,
    /// Whether the set that this one replaced had another scale.
    new_unit: AtomicBool,
    /// The weights as the peers' words make them, if they say what they can take.
    loads: Option<Loads>,
    /// The ring of a consistent hash.
    pub(crate) points: Points,
    /// The sum of the weights before each peer, for `random`.
    pub(crate) ranges: Vec<i64>,
    /// The number of different weights.
    pub(crate) weights: usize,
    /// Counts changes of what its peers can take.
    pub(crate) changes: Arc<AtomicU64>,
    /// What its peers' requests do, for methods that follow it.
    pub(crate) moves: Option<Arc<Moves>>,
    /// Counts its active requests, for methods that need it.
    pub(crate) active: Option<Arc<AtomicU64>>,
    /// The first peer of each sid, once one was asked for.
    sids: OnceLock<HashMap<Vec<u8>, usize>>,
}

impl Set {
    fn new(index: usize, peers: Vec<Arc<Peer>>, ring: bool) -> Self {
        let mut total_weight = 0;
        let mut ranges = Vec::with_capacity(peers.len());
        for peer in &peers {
            ranges.push(total_weight);
            total_weight += peer.weight();
        }
        let is_slow = peers.iter().any(|peer| peer.limits.slow_start != SlowStart::Off);
        let loads = peers.first().filter(|peer| peer.tells_load()).map(|_| Loads::of(&peers));
        let weights: HashSet<u32> = peers.iter().map(|peer| peer.limits.weight).collect();
        let changes = peers.first().map(|peer| Arc::clone(&peer.changes)).unwrap_or_default();
        let active = peers.first().and_then(|peer| peer.active.clone());
        let moves = peers.first().and_then(|peer| peer.moves.clone());
        let points = if ring { Points::new(&peers) } else { Points::default() };
        Self {
            peers,
            index,
            points,
            total_weight,
            single: false,
            is_scaled: is_slow || loads.is_some(),
            stepped: Stepped::default(),
            new_unit: AtomicBool::new(false),
            loads,
            ranges,
            weights: weights.len(),
            changes,
            moves,
            active,
            sids: OnceLock::new(),
        }
    }

    /// Whether the set that this one replaced had another scale.
    pub(crate) fn has_new_unit(&self) -> bool {
        self.new_unit.load(Relaxed)
    }

    /// The first peer with a sid.
    pub(crate) fn of_sid(&self, sid: &[u8]) -> Option<usize> {
        let sids = self.sids.get_or_init(|| {
            let peers = self.peers.iter().enumerate().rev();
            peers.map(|(place, peer)| (peer.sid.as_bytes().to_vec(), place)).collect()
        });
        sids.get(sid).copied()
    }

    /// The number of attempts that a request may spend here: one per peer that is open.
    fn tries(&self) -> usize {
        self.peers.iter().filter(|peer| peer.limits.admission == Admission::Open).count()
    }

    /// The scale of the weights at a moment.
    pub(crate) fn scale(&self, now: Now) -> Scale {
        if !self.is_scaled {
            return Scale::Units;
        }
        // The peers of a locality have their steps and shares among all peers of the group.
        let is_whole = self.index < FIRST_LOCALITY;
        if is_whole {
            self.stepped.proceed(&self.peers, now);
        }
        if let Some(loads) = &self.loads {
            loads.refresh(&self.peers, is_whole, self.changes.load(Acquire), now);
        }
        Scale::Parts(now)
    }

    /// A random peer by weight, after [`scale`](Self::scale).
    pub(crate) fn draw(&self, random: &mut fastrand::Rng) -> usize {
        match &self.loads {
            None => self.at_weight(random.i64(0..self.total_weight.max(1))),
            Some(loads) => loads.draw(random),
        }
    }

    /// The weights of all peers but one, in a scale.
    pub(crate) fn others(&self, place: usize, scale: Scale) -> i64 {
        let peer = &self.peers[place];
        match &self.loads {
            None => scale.whole(self.total_weight - peer.weight()),
            Some(loads) => loads.others(place),
        }
    }

    /// The peer whose range contains a number below the total weight.
    pub(crate) fn at_weight(&self, number: i64) -> usize {
        self.ranges.partition_point(|&start| start <= number).saturating_sub(1)
    }
}

/// The primary and backup peers of a group, before preparation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    primary: Vec<Arc<Peer>>,
    backup: Vec<Arc<Peer>>,
}

impl Lines {
    pub(crate) fn of(&mut self, backup: bool) -> &mut Vec<Arc<Peer>> {
        if backup { &mut self.backup } else { &mut self.primary }
    }

    pub(crate) fn get(&self, backup: bool) -> &[Arc<Peer>] {
        if backup { &self.backup } else { &self.primary }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.primary.iter().chain(&self.backup)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Arc<Peer>> {
        self.primary.iter_mut().chain(&mut self.backup)
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Peer) -> bool) {
        self.primary.retain(|peer| keep(peer));
        self.backup.retain(|peer| keep(peer));
    }

    pub(crate) fn find(&self, id: ServerId) -> Option<&Arc<Peer>> {
        self.iter().find(|peer| peer.id == id)
    }
}

/// The primary and backup peers of a group, prepared for balancing.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    /// Its number, unique in the process.
    pub(crate) number: u64,
    pub(crate) primary: Set,
    pub(crate) backup: Option<Set>,
    /// The primary peers by locality, if the group prefers some.
    pub(crate) localities: Option<Localities>,
    /// For `ewma`: the mean latency of the peers in milliseconds, 0 if none is known.
    pub(crate) mean_latency: Aged,
}

impl Sets {
    /// Prepares peers. `ring`: whether the method needs the points of a consistent hash.
    pub(crate) fn new(lines: Lines, ring: bool, locality: Option<&LocalityConfig>) -> Self {
        let Lines { primary, backup } = lines;
        let mut primary = Set::new(PRIMARY, primary, ring);
        primary.single = primary.peers.len() == 1 && backup.is_empty();
        let backup = (!backup.is_empty()).then(|| Set::new(BACKUP, backup, false));
        let localities = locality.map(|config| {
            let mut index = FIRST_LOCALITY;
            Localities::new(&primary.peers, config, |peers| {
                let set = Set { is_scaled: primary.is_scaled, ..Set::new(index, peers, ring) };
                index += 1;
                set
            })
        });
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Relaxed);
        Self { number, primary, backup, localities, mean_latency: Aged::default() }
    }

    pub(crate) fn tries(&self) -> usize {
        self.primary.tries() + self.backup.as_ref().map_or(0, Set::tries)
    }

    /// Takes the place of the old sets. If the scale of weights changes, the peers' current weights
    /// are reset.
    pub(crate) fn succeed(&self, old: &Self) {
        let slow = |set: Option<&Set>| set.is_some_and(|set| set.is_scaled);
        let lines = [
            (Some(&self.primary), Some(&old.primary)),
            (self.backup.as_ref(), old.backup.as_ref()),
        ];
        for (new, old) in lines {
            if let (Some(new), Some(old)) = (new, old) {
                new.stepped.succeed(&old.stepped);
            }
        }
        if let (Some(new), Some(old)) = (&self.localities, &old.localities) {
            new.succeed(old);
        }
        for (new, _) in lines.into_iter().filter(|(new, old)| slow(*new) != slow(*old)) {
            new.into_iter().for_each(|set| set.new_unit.store(true, Relaxed));
            for peer in new.into_iter().flat_map(|set| &set.peers) {
                peer.state.current_weight.store(0, Relaxed);
            }
        }
    }

    /// All sets, at their numbers.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Set> {
        let localities = self.localities.iter().flat_map(|localities| &localities.sets);
        [&self.primary].into_iter().chain(&self.backup).chain(localities)
    }

    /// The weights of the peers by the serials of their states.
    pub(crate) fn weights(&self) -> HashMap<u64, i64> {
        self.peers().map(|peer| (peer.serial(), peer.weight())).collect()
    }

    /// The peers without preparation.
    pub(crate) fn lines(&self) -> Lines {
        let peers = |set: &Set| set.peers.clone();
        Lines {
            primary: peers(&self.primary),
            backup: self.backup.as_ref().map(peers).unwrap_or_default(),
        }
    }

    /// All peers, backups last.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.primary.peers.iter().chain(self.backup.iter().flat_map(|set| &set.peers))
    }
}
