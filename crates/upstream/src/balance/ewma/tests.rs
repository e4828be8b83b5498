//! Requests in virtual time.

use std::{collections::BTreeMap, sync::Arc};

use weir_engine::Addr;

use super::*;
use crate::{
    balance::method::Request,
    check::config::CheckConfig,
    config::{GroupConfig, MethodHandle},
    edit::{Change, Edit},
    group::Group,
    health::{Health, Source},
    outcome::Timings,
    pick::Pick,
    server::{Limits, Server, ServerId},
};

const START: Now = Now { seconds: 1_000, millis: 1_000_000 };

/// What a server does with a request.
#[derive(Clone, Copy)]
enum Does {
    /// Answers with a status after some milliseconds.
    Answers(u16, u64),
    /// Breaks the connection after some milliseconds.
    Breaks(u64),
    /// Nothing, until the request is given up after some milliseconds.
    Hangs(u64),
}

use Does::{Answers, Breaks, Hangs};

struct World {
    group: Arc<Group>,
    now: Now,
    random: fastrand::Rng,
}

fn server(number: usize, weight: u32) -> Server {
    let address = Addr::Inet(([127, 0, 0, 1], 1 + number as u16).into());
    // As the default `max_fails` would hide what the method does.
    let limits = Limits { weight, max_fails: 0, ..Limits::default() };
    Server { text: address.to_string(), addresses: vec![address], limits, ..Server::default() }
}

impl World {
    fn new(weights: &[u32]) -> Self {
        let servers = weights.iter().enumerate();
        let config = GroupConfig {
            zone: Some("u".into()),
            servers: servers.map(|(number, weight)| server(number, *weight)).collect(),
            method: MethodHandle(Arc::new(Ewma { metric: Metric::Header, tau: TAU })),
            // The verdicts of a check count.
            checks: vec![CheckConfig::every(1000)],
            ..GroupConfig::implicit(String::new(), "u", Vec::new())
        };
        let group = Arc::new(Group::new(config, None));
        Self { group, now: START, random: fastrand::Rng::with_seed(3) }
    }

    /// Sends requests for some seconds at a rate per second, and returns the servers' shares in
    /// percent.
    fn run(&mut self, seconds: u64, rate: u64, does: impl Fn(usize) -> Does) -> Vec<usize> {
        let group = Arc::clone(&self.group);
        let mut picks: Vec<Option<Pick<'_>>> = Vec::new();
        let mut ends = BTreeMap::new();
        let last = group.peers().iter().map(|peer| peer.id.0 as usize).max();
        let mut counts = vec![0; 1 + last.unwrap_or(0)];
        for number in 0..seconds * rate {
            let at = self.now.plus_millis(number * 1000 / rate);
            self.end(&mut picks, &mut ends, at.millis);
            let mut pick = group.start(Request::default());
            let peer = pick.next(&mut self.random, at).unwrap();
            let place = peer.id.0 as usize;
            counts[place] += 1;
            let does = does(place);
            let (Answers(_, time) | Breaks(time) | Hangs(time)) = does;
            ends.insert((at.millis + time, number), (picks.len(), does, time));
            picks.push(Some(pick));
        }
        self.end(&mut picks, &mut ends, u64::MAX);
        self.now = self.now.plus_millis(seconds * 1000);
        counts.iter().map(|count| count * 100 / (seconds * rate) as usize).collect()
    }

    /// Ends the requests whose time has come.
    fn end(
        &self,
        picks: &mut [Option<Pick<'_>>],
        ends: &mut BTreeMap<(u64, u64), (usize, Does, u64)>,
        until: u64,
    ) {
        while let Some(entry) = ends.first_entry().filter(|entry| entry.key().0 <= until) {
            let (millis, _) = *entry.key();
            let (at, does, time) = entry.remove();
            let Some(mut pick) = picks[at].take() else { continue };
            let now = self.now.plus_millis(millis - self.now.millis);
            match does {
                Answers(status, _) => {
                    let outcome = Outcome::of_status(status);
                    pick.reached(Moment::Header, time, outcome, now);
                    let (header, response) = (Some(time), Some(time));
                    let timings = Timings { connect: Some(0), header, response };
                    pick.free(outcome, timings, now);
                }
                Breaks(_) => drop(pick.free(Outcome::Failed, Timings::default(), now)),
                Hangs(_) => drop(pick.free(Outcome::Success, Timings::default(), now)),
            }
        }
    }
}

fn near(shares: &[usize], expected: &[usize]) -> bool {
    shares.iter().zip(expected).all(|(share, expected)| share.abs_diff(*expected) <= 5)
}

#[test]
fn equal_servers_share_by_weight() {
    let shares = World::new(&[1; 4]).run(20, 200, |_| Answers(200, 20));
    assert!(near(&shares, &[25; 4]), "{shares:?}");
    let shares = World::new(&[3, 1, 1]).run(20, 200, |_| Answers(200, 50));
    assert!(near(&shares, &[60, 20, 20]), "{shares:?}");
}

#[test]
fn a_slow_server_is_avoided_and_forgiven() {
    let mut world = World::new(&[1; 4]);
    let slow = |place| Answers(200, if place == 3 { 1000 } else { 20 });
    world.run(10, 200, slow);
    let shares = world.run(20, 200, slow);
    assert!(shares[3] == 0, "{shares:?}");
    // It gets its share back once it has recovered.
    world.run(60, 200, |_| Answers(200, 20));
    let shares = world.run(20, 200, |_| Answers(200, 20));
    assert!(shares[3] >= 15, "{shares:?}");
}

#[test]
fn a_server_that_fails_fast_attracts_nothing() {
    for fails in [Answers(503, 1), Breaks(1), Breaks(0)] {
        let mut world = World::new(&[1; 4]);
        let does = |place| if place == 3 { fails } else { Answers(200, 100) };
        let shares = world.run(20, 200, does);
        assert!(shares[3] <= 1, "{shares:?}");
        // It gets its share back once it has recovered.
        world.run(40, 200, |_| Answers(200, 100));
        let shares = world.run(10, 200, |_| Answers(200, 100));
        assert!(near(&shares, &[25; 4]), "{shares:?}");
    }
}

#[test]
fn a_server_that_hangs_attracts_nothing() {
    let mut world = World::new(&[1; 4]);
    let does = |place| if place == 3 { Hangs(60_000) } else { Answers(200, 50) };
    let shares = world.run(60, 200, does);
    assert!(shares[3] == 0, "{shares:?}");
}

/// Its timeouts of before are a thousand times its latency, and would keep it out for a minute.
#[test]
fn a_server_that_is_found_to_be_well_begins_as_a_new_one() {
    let mut world = World::new(&[1; 4]);
    let does = |place| if place == 3 { Hangs(1000) } else { Answers(200, 1) };
    world.run(10, 1000, does);
    let peer = Arc::clone(&world.group.peers()[3]);
    for health in [Health::Unhealthy, Health::Good] {
        peer.set_health(Source::Check(0), health, world.now);
    }
    let shares = world.run(5, 1000, |_| Answers(200, 1));
    assert!(near(&shares, &[25; 4]), "{shares:?}");
}

#[test]
fn a_new_server_is_not_flooded() {
    let mut world = World::new(&[1; 10]);
    world.run(10, 1000, |_| Answers(200, 50));
    let new = Edit::Add(server(10, 1));
    let id = world.group.edit(&new).unwrap()[0];
    let shares = world.run(1, 1000, |_| Answers(200, 50));
    assert!((5..=12).contains(&shares[id.0 as usize]), "{shares:?}");
    world.group.edit(&Edit::Remove(id)).unwrap();
    let id = world.group.edit(&new).unwrap()[0];
    assert_eq!(id.0, 11);
    // Nor while its first answers are awaited.
    let late = |place| Answers(200, if place == 11 { 1000 } else { 50 });
    let shares = world.run(1, 1000, late);
    assert!(shares[11] <= 12, "{shares:?}");
}

#[test]
fn a_server_that_returns_is_not_flooded() {
    let mut world = World::new(&[1; 4]);
    world.run(10, 400, |_| Answers(200, 50));
    let down = |down| Edit::Change(ServerId(0), Change { down, ..Change::default() });
    world.group.edit(&down(Some(true))).unwrap();
    let shares = world.run(300, 100, |_| Answers(200, 50));
    assert_eq!(shares[0], 0);
    world.group.edit(&down(Some(false))).unwrap();
    let shares = world.run(1, 400, |place| Answers(200, if place == 0 { 1000 } else { 50 }));
    assert!((1..50).contains(&shares[0]), "{shares:?}");
}

#[test]
fn few_available_servers_are_found_among_many() {
    let mut world = World::new(&[1; 200]);
    for place in 0..198 {
        let down = Change { down: Some(true), ..Change::default() };
        world.group.edit(&Edit::Change(ServerId(place), down)).unwrap();
    }
    let shares = world.run(10, 100, |_| Answers(200, 10));
    assert!(near(&shares[198..], &[50, 50]), "{shares:?}");
}

#[test]
fn no_server_is_left() {
    let world = World::new(&[1; 2]);
    let mut random = fastrand::Rng::with_seed(1);
    let mut pick = world.group.start(Request::default());
    let first = pick.next(&mut random, START).unwrap();
    let second = pick.next(&mut random, START).unwrap();
    assert_ne!(first.name, second.name);
    assert!(pick.next(&mut random, START).is_err());
    drop(pick);
    let waiting = |peer: &Arc<Peer>| peer.state.cost.expected(None, TAU, START.plus_millis(99));
    assert!(world.group.peers().iter().all(|peer| waiting(peer) == 1.0));
}

#[test]
fn threads_lose_no_sample() {
    let cost = cost::Cost::default();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for millis in 0..10_000 {
                    cost.sent(START.plus_millis(millis));
                    cost.answered(Answer::Good, START.plus_millis(millis), 7, TAU, START);
                }
            });
        }
    });
    assert_eq!(cost.expected(None, TAU, START), 7.0);
    // Nothing waits, however late it is.
    assert_eq!(cost.latency(TAU, START.plus_millis(10_000)), Some(7.0 / 1_f32.exp()));
    assert_eq!(cost.expected(None, TAU, START.plus_millis(10_000_000)), 1.0);
}
