//! The sequence and the plain rule choose the same peers, whatever happens between the turns.

use weir_engine::Addr;

use super::*;
use crate::{
    balance::{
        method::{pay, smooth},
        turns::Turns,
    },
    health::{Health, Source},
    peer::hex_md5,
    server::Limits,
    set::{Lines, Sets},
};

const NOW: Now = Now { seconds: 1000, millis: 1_000_000 };

/// A set of peers with these parameters.
fn sets(limits: &[Limits]) -> Sets {
    let mut lines = Lines::default();
    let changes = Arc::default();
    for (number, limits) in (1..).zip(limits) {
        let address = Addr::Inet(([127, 0, 0, 1], number).into());
        let mut peer = Peer::new(address, "", limits.clone(), Some(&hex_md5(&[number as u8])));
        peer.changes = Arc::clone(&changes);
        lines.of(false).push(Arc::new(peer));
    }
    Sets::new(lines, false, None)
}

/// The plain rule.
fn plain(set: &Set, walk: &Walk, hinted: Option<usize>, now: Now) -> Option<usize> {
    let all = 0..set.peers.len();
    let (best, total) =
        smooth(&set.peers, Scale::Units, all, None, |peer, _| walk.may_take(peer, now));
    let best = hinted.or(best)?;
    pay(&set.peers[best], total);
    Some(best)
}

/// Two equal groups: one is balanced by the plain rule, and one by the sequence.
struct Twins {
    sets: [Sets; 2],
    turns: Turns,
    now: Now,
}

impl Twins {
    fn draw(random: &mut fastrand::Rng) -> Self {
        let weights = [1, 1, 1, 2, 5, 100, 7, 4_000_000_000];
        let kinds = random.usize(1..=weights.len());
        let limits: Vec<Limits> = (0..random.usize(1..40))
            .map(|_| Limits {
                weight: weights[random.usize(..kinds)],
                max_fails: random.u64(0..3),
                fail_timeout: random.i64(0..4),
                max_conns: if random.u8(..3) == 0 { random.u64(1..4) } else { 0 },
                admission: match random.u8(..10) {
                    0 => Admission::Down,
                    1 => Admission::Draining,
                    _ => Admission::Open,
                },
                ..Limits::default()
            })
            .collect();
        let sets = [sets(&limits), sets(&limits)];
        assert!(Sequence::suits(&sets[1].primary));
        Self { sets, turns: Turns::default(), now: NOW }
    }

    /// Does the same to the same peer of both.
    fn both(&self, place: usize, act: impl Fn(&Peer)) {
        self.sets.iter().for_each(|sets| act(&sets.primary.peers[place]));
    }

    /// A turn of both. The walk has tried these places.
    fn turn(&mut self, tried: &[usize], hinted: Option<usize>) -> Option<usize> {
        let walk = |sets: &Sets| {
            let serial = |place: &usize| sets.primary.peers[*place].serial();
            Walk { tried: tried.iter().map(serial).collect(), ..Walk::default() }
        };
        let [one, other] = &self.sets;
        let expected = plain(&one.primary, &walk(one), hinted, self.now);
        let sequence = self.turns.sequence(other, &other.primary);
        let chosen = sequence.turn(&other.primary, &walk(other), hinted, self.now);
        assert_eq!(chosen, expected);
        chosen
    }

    /// Compares all weights.
    fn compare(&mut self) {
        let [one, other] = &self.sets;
        let sequence = self.turns.sequence(other, &other.primary);
        for (place, peer) in one.primary.peers.iter().enumerate() {
            let state = &other.primary.peers[place].state;
            let current = peer.state.current_weight.load(Relaxed);
            assert_eq!(sequence.current_weight(&other.primary, place), current);
            let effective = |state: &crate::PeerState| state.effective_weight.load(Relaxed);
            assert_eq!(effective(&peer.state), effective(state));
        }
    }
}

/// As a failed attempt does.
fn fail(peer: &Peer, now: Now) {
    let state = &peer.state;
    state.fails.fetch_add(1, Relaxed);
    state.checked.store(now.seconds, Relaxed);
    if peer.limits.max_fails != 0 {
        let step = peer.weight() / peer.limits.max_fails as i64;
        let effective = state.effective_weight.load(Relaxed) - step;
        state.effective_weight.store(effective.max(0), Relaxed);
        peer.tell_change();
    }
}

/// As a good answer does.
fn revive(peer: &Peer) {
    if peer.state.fails.load(Relaxed) != 0 {
        peer.state.fails.store(0, Relaxed);
        peer.tell_change();
    }
}

#[test]
fn the_sequence_is_that_of_the_plain_rule() {
    for seed in 0..400 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut twins = Twins::draw(&mut random);
        let size = twins.sets[0].primary.peers.len();
        let mut held = Vec::new();
        // In some runs, nothing but turns happens; in others, more or less.
        let quiet = [0, 3, 20, 200][random.usize(..4)];
        for step in 0..400 {
            let place = random.usize(..size);
            let now = twins.now;
            match if quiet == 0 { u32::MAX } else { random.u32(..quiet) } {
                0 => twins.both(place, |peer| fail(peer, now)),
                1 => twins.both(place, revive),
                2 => {
                    let health = if random.bool() { Health::Good } else { Health::Unhealthy };
                    twins.both(place, |peer| peer.set_health(Source::Check(0), health, now));
                }
                3 => twins.now = twins.now.plus_millis(random.u64(..3000)),
                4 if !held.is_empty() => {
                    let place = held.swap_remove(random.usize(..held.len()));
                    twins.both(place, Peer::release);
                }
                _ => {}
            }
            let tried: Vec<usize> = match random.u8(..4) {
                0 => (0..random.usize(..4)).map(|_| random.usize(..size)).collect(),
                _ => Vec::new(),
            };
            let hinted = (random.u8(..8) == 0 && !tried.contains(&place)).then_some(place);
            let chosen = twins.turn(&tried, hinted);
            if let Some(chosen) = chosen
                && random.bool()
                && !twins.sets[0].primary.peers[chosen].is_full()
            {
                twins.both(chosen, |peer| assert!(peer.reserve()));
                held.push(chosen);
            }
            if step % 50 == 0 {
                twins.compare();
            }
        }
        twins.compare();
    }
}

#[test]
fn weights_survive_a_change_of_the_peers() {
    for seed in 0..50 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut twins = Twins::draw(&mut random);
        for _ in 0..20 {
            for _ in 0..random.usize(..30) {
                twins.turn(&[], None);
            }
            // The next sets lack a peer, and one has another weight.
            let size = twins.sets[0].primary.peers.len();
            let (gone, changed) = (random.usize(..size), random.usize(..size));
            let weight = random.u32(1..4);
            let next = |sets: &Sets| {
                let mut lines = sets.lines();
                let line = lines.of(false);
                let mut peer = Peer::clone(&line[changed]);
                let earlier = Arc::clone(&line[changed]);
                peer.limits.weight = weight;
                peer.inherit(&earlier);
                line[changed] = Arc::new(peer);
                if line.len() > 1 {
                    line.remove(gone);
                }
                Sets::new(lines, false, None)
            };
            let fresh = [next(&twins.sets[0]), next(&twins.sets[1])];
            twins.turns.flush(&twins.sets[1], Some(&fresh[1]));
            twins.sets = fresh;
            twins.compare();
        }
    }
}

#[test]
fn gains_are_added_before_they_overflow() {
    let limits = |weight| Limits { weight, ..Limits::default() };
    let sets = [1, 2].map(|_| sets(&[limits(u32::MAX), limits(u32::MAX), limits(1)]));
    let mut twins = Twins { sets, turns: Turns::default(), now: NOW };
    twins.turn(&[], None);
    let [_, other] = &twins.sets;
    let sequence = twins.turns.sequence(other, &other.primary);
    // As after that many turns.
    let before = MAX_TURNS - 5 - sequence.turns;
    for Class { weight, bases, .. } in &mut sequence.classes {
        bases.add_to_all(-*weight * before);
    }
    sequence.turns += before;
    for _ in 0..20 {
        twins.turn(&[], None);
    }
    assert!(twins.turns.sequence(&twins.sets[1], &twins.sets[1].primary).turns < 20);
    twins.compare();
}

/// Two configurations share a peer, and only one of them gets the notice of a change.
#[test]
fn a_peer_that_cannot_take_is_not_chosen_without_a_notice() {
    let sets = sets(&[Limits::default(), Limits::default()]);
    let mut turns = Turns::default();
    let (set, walk) = (&sets.primary, Walk::default());
    let mut turn = || turns.sequence(&sets, &sets.primary).turn(set, &walk, None, NOW);
    assert_eq!([turn(), turn(), turn()], [Some(0), Some(1), Some(0)]);
    set.peers[1].state.fails.store(1, Relaxed);
    set.peers[1].state.checked.store(NOW.seconds, Relaxed);
    assert_eq!([turn(), turn(), turn()], [Some(0); 3]);
    set.peers[0].state.fails.store(1, Relaxed);
    set.peers[0].state.checked.store(NOW.seconds, Relaxed);
    assert_eq!(turn(), None);
}
