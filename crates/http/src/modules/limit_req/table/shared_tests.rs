//! A limit that nodes share, in virtual time: each has a table of its own, and charges what the
//! others tell it every 20 ms, after the delay of the network.

use super::*;

/// 100 requests a second, in thousandths.
const RATE: u64 = 100_000;
const KEY: &[u8] = b"key";
const INTERVAL: u64 = 20;
const START: u64 = 1_000_000;

struct Node {
    table: Table,
    /// Requests per second that arrive.
    load: f64,
    untold: u32,
}

struct World {
    nodes: Vec<Node>,
    /// Amounts on their way: time of arrival, node, amount.
    on_way: Vec<(u64, usize, u32)>,
    /// The limits of the network's delay, in milliseconds.
    delay: std::ops::RangeInclusive<u64>,
    burst: u64,
    random: fastrand::Rng,
    /// The nodes see each other.
    is_whole: bool,
    now: u64,
}

impl World {
    fn new(loads: &[f64], burst: u64, delay: std::ops::RangeInclusive<u64>, seed: u64) -> Self {
        let node = |load: &f64| Node { table: Table::new(1 << 20), load: *load, untold: 0 };
        let nodes = loads.iter().map(node).collect();
        let random = fastrand::Rng::with_seed(seed);
        let (on_way, is_whole) = (Vec::new(), true);
        Self { nodes, on_way, delay, burst: burst * 1000, random, is_whole, now: START }
    }

    /// Lets a second pass, and returns the number of admitted requests of each node.
    fn second(&mut self) -> Vec<u32> {
        let mut admitted = vec![0; self.nodes.len()];
        for _ in 0..1000 {
            self.now += 1;
            self.arrive();
            for (node, admitted) in self.nodes.iter_mut().zip(&mut admitted) {
                let mut expected = node.load / 1000.0;
                while self.random.f64() < expected {
                    expected -= 1.0;
                    let counted = node.table.count(KEY, self.now, RATE, self.burst, true);
                    if matches!(counted, Counted::Now(_)) {
                        node.untold += 1;
                        *admitted += 1;
                    }
                }
            }
            if self.now.is_multiple_of(INTERVAL) {
                self.tell();
            }
        }
        admitted
    }

    fn tell(&mut self) {
        for place in 0..self.nodes.len() {
            let amount = std::mem::take(&mut self.nodes[place].untold);
            for other in (0..self.nodes.len()).filter(|other| *other != place) {
                if amount > 0 && self.is_whole {
                    let arrival = self.now + self.random.u64(self.delay.clone());
                    self.on_way.push((arrival, other, amount));
                }
            }
        }
    }

    fn arrive(&mut self) {
        let most = self.burst + RATE;
        let (now, nodes) = (self.now, &mut self.nodes);
        self.on_way.retain(|(arrival, node, amount)| {
            let is_due = *arrival <= now;
            if is_due {
                nodes[*node].table.charge(KEY, *amount, now, RATE, most);
            }
            !is_due
        });
    }

    /// The admitted requests of each of so many seconds, after the burst.
    fn seconds(&mut self, count: usize) -> Vec<u32> {
        (0..4).for_each(|_| drop(self.second()));
        (0..count).map(|_| self.second().iter().sum()).collect()
    }
}

fn mean(seconds: &[u32]) -> f64 {
    f64::from(seconds.iter().sum::<u32>()) / seconds.len() as f64
}

/// The loads of the tests, in requests a second: together above the limit.
const LOADS: [&[f64]; 6] =
    [&[300.0, 30.0], &[150.0, 150.0], &[90.0, 60.0], &[2000.0, 5.0], &[150.0, 0.0], &[80.0; 3]];

#[test]
fn nodes_admit_the_limit_together_whatever_the_delay() {
    for (seed, loads) in LOADS.iter().enumerate() {
        for delay in [1..=1, 5..=5, 20..=20, 50..=50, 1..=50] {
            for burst in [10, 20, 100] {
                let mut world = World::new(loads, burst, delay.clone(), seed as u64);
                let seconds = world.seconds(30);
                let mean = mean(&seconds);
                let told = format!("{loads:?}, {delay:?}, burst {burst}: {mean} of {seconds:?}");
                assert!((98.0..=102.0).contains(&mean), "{told}");
                let all_are = seconds.iter().all(|second| (90..=112).contains(second));
                assert!(all_are, "{told}");
            }
        }
    }
}

/// Without a burst, one node admits less than its rate, since some requests come too early. Nodes
/// that share a limit admit up to a fourth less again, as what they tell each other comes in lumps.
#[test]
fn without_a_burst_nodes_admit_what_one_would() {
    for (seed, loads) in LOADS.iter().enumerate() {
        let all = [loads.iter().sum()];
        let alone = mean(&World::new(&all, 0, 1..=1, seed as u64).seconds(30));
        for delay in [1..=1, 20..=20, 1..=50] {
            let together = mean(&World::new(loads, 0, delay.clone(), seed as u64).seconds(30));
            let told = format!("{loads:?}, {delay:?}: {together}, and one node {alone}");
            assert!((0.7..=1.3).contains(&(together / alone)), "{told}");
            assert!(together <= 102.0, "{told}");
        }
    }
}

#[test]
fn a_node_that_starts_again_brings_its_burst_once() {
    let mut world = World::new(&[300.0, 100.0], 20, 1..=50, 7);
    world.seconds(5);
    let mut all = Vec::new();
    for _ in 0..10 {
        world.nodes[1].table = Table::new(1 << 20);
        world.nodes[1].untold = 0;
        let seconds: Vec<u32> = (0..10).map(|_| world.second().iter().sum()).collect();
        assert!(seconds[0] <= 100 + 20 + 12, "{seconds:?}");
        all.extend(seconds);
    }
    let mean = mean(&all);
    assert!((95.0..=110.0).contains(&mean), "{mean} of {all:?}");
}

#[test]
fn nodes_that_do_not_see_each_other_have_the_whole_limit_each() {
    let mut world = World::new(&[300.0, 300.0], 20, 1..=50, 7);
    world.is_whole = false;
    let apart = mean(&world.seconds(20));
    assert!((195.0..=205.0).contains(&apart), "{apart}");
    world.is_whole = true;
    let again = mean(&world.seconds(20));
    assert!((95.0..=110.0).contains(&again), "{again}");
}

#[test]
fn a_partner_that_lies_locks_a_key_out_for_a_limited_time() {
    let mut table = Table::new(1 << 20);
    for key in [KEY, b"new"] {
        assert_eq!(table.count(KEY, START, RATE, 20_000, true), Counted::Now(0));
        for _ in 0..100 {
            table.charge(key, u32::MAX, START, RATE, 20_000 + RATE);
        }
        assert!(matches!(table.count(key, START + 900, RATE, 20_000, true), Counted::Refused(_)));
        assert_eq!(table.count(key, START + 1100, RATE, 20_000, true), Counted::Now(11_000));
        table = Table::new(1 << 20);
    }
    // Charges of nothing, and of many keys.
    table.charge(KEY, 0, START, RATE, RATE);
    assert!(table.buckets.is_empty());
    for key in 0..100_000_u32 {
        table.charge(&key.to_be_bytes(), 1, START, RATE, RATE);
    }
    assert!(table.buckets.len() < 17_000);
}
