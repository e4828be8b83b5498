//! The ranking and the plain rule choose the same peers, whatever happens between the choices.

use std::sync::{Mutex, atomic::AtomicU64};

use weir_engine::Addr;

use super::*;
use crate::{
    balance::{
        least_conn::LeastConn,
        least_time::{LeastTime, Metric},
        method::{Balance, Choice, Method, Moment, Request, Sample, Turn},
    },
    config::{GroupConfig, MethodHandle},
    edit::{Change, Edit},
    group::Group,
    health::{Health, Source},
    outcome::{Outcome, Timings},
    pick::Pick,
    server::{Limits, Server, ServerId},
};

/// A method without rankings.
#[derive(Debug)]
struct Plain(Method);

impl Balance for Plain {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn choose(&self, turn: &mut Turn<'_>) -> Choice {
        let Turn { sets, set, walk, random, now, .. } = turn;
        self.0.choose(&mut Turn { sets, set, walk, random, now: *now, turns: None })
    }

    fn taken(&self, peer: &Peer, now: Now) -> bool {
        self.0.taken(peer, now)
    }

    fn watched(&self) -> Option<Moment> {
        self.0.watched()
    }

    fn answered(&self, peer: &Peer, sample: Sample, now: Now) {
        self.0.answered(peer, sample, now);
    }
}

fn method(number: usize) -> Method {
    match number % 3 {
        0 => Arc::new(LeastConn),
        1 => Arc::new(LeastTime { metric: Metric::Header, inflight: false }),
        _ => Arc::new(LeastTime { metric: Metric::LastByte, inflight: false }),
    }
}

fn server(number: u32, random: &mut fastrand::Rng, weights: &[u32]) -> Server {
    let [high, low] = (number as u16).to_be_bytes();
    let address = Addr::Inet(([10, 0, high, low], 80).into());
    let limits = Limits {
        weight: weights[random.usize(..weights.len())],
        max_conns: if random.u8(..4) == 0 { random.u64(1..4) } else { 0 },
        max_fails: random.u64(..3),
        fail_timeout: random.i64(..4),
        admission: if random.u8(..12) == 0 { Admission::Draining } else { Admission::Open },
        ..Limits::default()
    };
    let backup = random.u8(..8) == 0;
    Server {
        text: address.to_string(),
        addresses: vec![address],
        limits,
        backup,
        ..Server::default()
    }
}

/// Two groups that differ in the use of rankings, and what is done to both.
struct Twins {
    groups: [Arc<Group>; 2],
    number: usize,
    weights: Vec<u32>,
    now: Now,
    servers: u32,
}

impl Twins {
    fn draw(number: usize, random: &mut fastrand::Rng) -> Self {
        let weights: &[u32] = match number % 2 {
            0 => &[1],
            _ => &[1, 1, 1, 2, 3, 6, 4_000_000_000],
        };
        let count = random.u32(20..90);
        let servers: Vec<_> = (0..count).map(|it| server(it, random, weights)).collect();
        let config = |method| GroupConfig {
            zone: Some("u".into()),
            servers: servers.clone(),
            checks: vec![crate::check::config::CheckConfig::every(5000)],
            method: MethodHandle(method),
            ..GroupConfig::implicit(String::new(), "u", Vec::new())
        };
        let methods: [Method; 2] = [method(number), Arc::new(Plain(method(number)))];
        let groups = methods.map(|method| Arc::new(Group::new(config(method), None)));
        let now = Now { seconds: 1000, millis: 1_000_000 };
        Self { groups, number, weights: weights.to_vec(), now, servers: count }
    }

    fn both(&self, change: impl Fn(&Group)) {
        self.groups.iter().for_each(|group| change(group));
    }

    fn edit(&mut self, random: &mut fastrand::Rng) {
        let id = ServerId(random.u32(..self.servers));
        let edit = match random.u8(..4) {
            0 => {
                self.servers += 1;
                Edit::Add(server(self.servers, random, &self.weights))
            }
            1 => Edit::Remove(id),
            2 => Edit::Change(id, Change { down: Some(random.bool()), ..Change::default() }),
            _ => {
                let weight = Some(self.weights[random.usize(..self.weights.len())]);
                Edit::Change(id, Change { weight, ..Change::default() })
            }
        };
        self.both(|group| drop(group.edit(&edit)));
    }

    fn ail(&self, random: &mut fastrand::Rng) {
        let place = random.usize(..self.groups[0].peers().len());
        let health = if random.bool() { Health::Good } else { Health::Unhealthy };
        self.both(|group| group.peers()[place].set_health(Source::Check(0), health, self.now));
    }

    /// Another configuration takes over.
    fn reload(&mut self) {
        self.number += 3;
        for group in &mut self.groups {
            let config = GroupConfig { queue: None, ..group.config.clone() };
            *group = group.succeed(config);
        }
    }
}

fn name(pick: &Pick<'_>) -> Option<String> {
    pick.peer().map(|peer| peer.name.clone())
}

/// One request at both groups.
type Pair<'a> = [Pick<'a>; 2];

fn ask(picks: &mut Pair<'_>, now: Now, what: &str) -> bool {
    let mut random = fastrand::Rng::with_seed(1);
    let found = picks.each_mut().map(|pick| pick.next(&mut random, now).is_ok());
    assert_eq!(name(&picks[0]), name(&picks[1]), "{what}");
    found[0]
}

fn free(picks: &mut Pair<'_>, now: Now, random: &mut fastrand::Rng) {
    let time = random.u64(..120);
    let outcome = match random.u8(..10) {
        0 => Outcome::Failed,
        1 => Outcome::NotCounted,
        _ => Outcome::Success,
    };
    let timings = Timings { connect: Some(1), header: Some(time), response: Some(time + 9) };
    for pick in picks {
        if outcome == Outcome::Success {
            pick.reached(Moment::Header, time, outcome, now);
        }
        pick.free(outcome, timings, now);
    }
}

#[test]
fn the_choices_are_those_of_the_plain_rule() {
    let mut random = fastrand::Rng::with_seed(2);
    for number in 0..60 {
        let mut twins = Twins::draw(number, &mut random);
        for round in 0..4 {
            let groups = twins.groups.clone();
            let mut held: Vec<Pair<'_>> = Vec::new();
            let most = random.usize(1..100);
            for step in 0..random.usize(1..250) {
                let what = format!("{number} {:?}, {round}, {step}", groups[0].config.method);
                let mut picks = groups.each_ref().map(|group| group.start(Request::default()));
                if ask(&mut picks, twins.now, &what) {
                    if random.u8(..4) == 0 {
                        free(&mut picks, twins.now, &mut random);
                        ask(&mut picks, twins.now, &what);
                    }
                    held.push(picks);
                }
                while held.len() > most || !held.is_empty() && random.u8(..5) == 0 {
                    let mut picks = held.swap_remove(random.usize(..held.len()));
                    free(&mut picks, twins.now, &mut random);
                }
                twins.now = twins.now.plus_millis(random.u64(..40));
                match random.u8(..50) {
                    0 => twins.edit(&mut random),
                    1 | 2 => twins.ail(&mut random),
                    _ => {}
                }
            }
            twins.reload();
        }
    }
}

#[test]
fn currents_never_overflow_and_lost_moves_are_no_loss() {
    let mut random = fastrand::Rng::with_seed(3);
    let twins = Twins::draw(0, &mut random);
    let mut held = Vec::new();
    for round in 0..40 {
        let mut picks = twins.groups.each_ref().map(|group| group.start(Request::default()));
        ask(&mut picks, twins.now, "after many moves");
        held.push(picks);
        {
            let sets = twins.groups[0].sets();
            let mut turns = twins.groups[0].turns();
            let ranking = turns.ranking(&sets, &sets.primary);
            let mut first = ranking.classes[0].buckets.first_entry().unwrap();
            let mark = *first.key();
            let bucket = first.get_mut();
            bucket.start_over(mark, 1, &mut ranking.homes);
            assert_eq!(bucket.turns, 0);
        }
        // More than are kept.
        let peer = &twins.groups[0].peers()[round % 20];
        (0..3000).for_each(|_| peer.tell_move());
        held.truncate(30);
    }
}

/// Threads move peers while they are ranked: at rest, the ranking knows where each of them is.
#[test]
fn no_move_of_another_thread_is_lost() {
    let mut random = fastrand::Rng::with_seed(4);
    let group = Arc::clone(&Twins::draw(0, &mut random).groups[0]);
    let now = Now { seconds: 1000, millis: 1_000_000 };
    let chosen = AtomicU64::new(0);
    let left = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (group, chosen, left) = (&group, &chosen, &left);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                let mut held = Vec::new();
                for _ in 0..3000 {
                    let mut pick = group.start(Request::default());
                    chosen.fetch_add(u64::from(pick.next(&mut random, now).is_ok()), Relaxed);
                    held.push(pick);
                    while held.len() > 20 {
                        held.swap_remove(random.usize(..held.len()));
                    }
                }
                left.lock().unwrap().append(&mut held);
            });
        }
    });
    assert!(chosen.load(Relaxed) > 10_000);
    let sets = group.sets();
    let mut turns = group.turns();
    let ranking = turns.ranking(&sets, &sets.primary);
    let mark: Mark = |peer, _| peer.state.conns.load(Relaxed);
    ranking.refresh(&sets.primary, mark, now);
    let mut inside = 0;
    for (home, peer) in ranking.homes.iter().zip(&sets.primary.peers) {
        if let Some(Home { inside: Some((known, _)), .. }) = home {
            assert_eq!(*known, mark(peer, now));
            inside += 1;
        }
    }
    assert!(inside > 10);
}
