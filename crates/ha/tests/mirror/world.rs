//! A world: nodes, their connections and what happens, in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use weir_ha::mirror::{Class, Key, Kind, Outcome, Proposed, Version, limits};

use crate::judge::{Fault, Judge};
use crate::network::{Network, side};
use crate::node::{Disk, NAMES, Node, name};
use crate::plan::{Act, HEALING, Millis, Plan, SECOND};

mod effects;

/// The interval of ticks: short beside each time limit of the mirror.
const TICK: Millis = 3 * SECOND;

/// A fault of the world, as a bug in the code would bring about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// A set is said to be durable and is not.
    ForgetsSets,
    /// What a node has in force is told once.
    TellsOnce,
    /// A refusal counts as agreement.
    AgreesAlways,
    /// Half of all records are not sent.
    LosesRecords,
    /// Counters arrive twice.
    CountsTwice,
    /// Levels that end are not told.
    LosesLevels,
    /// A node starts with an older disk than it had.
    StartsOlder,
    /// One of ten answers is not given.
    SwallowsAnswers,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Act(usize),
    Heal,
    Start(usize),
    Tick(usize),
    Connect(usize, usize),
    /// A side notices that its connection has ended.
    Ended(usize, usize, u32),
    Arrives {
        from: usize,
        to: usize,
        number: u32,
        bytes: Vec<u8>,
    },
    Checked {
        node: usize,
        life: u32,
        version: Version,
        bad: bool,
    },
    Durable {
        node: usize,
        life: u32,
        state: Vec<u8>,
        set: Option<Arc<[u8]>>,
    },
    Applied {
        node: usize,
        life: u32,
        version: Version,
        failed: bool,
    },
    Stored {
        node: usize,
        life: u32,
        serial: u64,
    },
}

/// What happened in a world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) events: u64,
    pub(crate) acknowledged: u32,
    pub(crate) applied: u32,
    pub(crate) replaced: u32,
    pub(crate) refused: u32,
    pub(crate) concurrent: u32,
    pub(crate) other: u32,
    pub(crate) aside: u32,
    pub(crate) told: Vec<String>,
}

pub(crate) struct World<'a> {
    plan: &'a Plan,
    sabotage: Option<Sabotage>,
    random: fastrand::Rng,
    now: Millis,
    events: BinaryHeap<Reverse<(Millis, u64, Event)>>,
    numbers: u64,
    nodes: Vec<Node>,
    network: Network,
    judge: Judge,
    report: Report,
    proposals: u64,
    is_healed: bool,
    traces: bool,
}

/// Lets a world run to its end.
pub(crate) fn run(
    plan: &Plan,
    sabotage: Option<Sabotage>,
    traces: bool,
) -> Result<Report, (Fault, Report)> {
    let mut world = World {
        plan,
        sabotage,
        random: fastrand::Rng::with_seed(plan.seed ^ 0x5eed),
        now: 0,
        events: BinaryHeap::new(),
        numbers: 0,
        nodes: (0..plan.nodes).map(|node| Node::new(node, plan.nodes)).collect(),
        network: Network::default(),
        judge: Judge::new(plan),
        report: Report::default(),
        proposals: 0,
        is_healed: false,
        traces,
    };
    let result = world.run();
    world.sum_up();
    match result {
        Ok(()) => Ok(world.report),
        Err(fault) => Err((fault, world.report)),
    }
}

impl World<'_> {
    fn run(&mut self) -> Result<(), Fault> {
        for (number, (at, _)) in self.plan.acts.iter().enumerate() {
            self.at(*at, Event::Act(number));
        }
        for node in 0..self.plan.nodes {
            self.at(node as Millis, Event::Tick(node));
            for other in node + 1..self.plan.nodes {
                self.at(1, Event::Connect(node, other));
            }
        }
        self.at(self.plan.healed, Event::Heal);
        let end = self.plan.healed + HEALING;
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if at > end {
                break;
            }
            self.now = at;
            self.report.events += 1;
            self.happens(event)?;
        }
        self.judge.last(&self.nodes)?;
        if !self.network.has_broken {
            self.judge.nothing_is_lost(self.plan.nodes)?;
        }
        Ok(())
    }

    fn at(&mut self, at: Millis, event: Event) {
        self.numbers += 1;
        self.events.push(Reverse((at, self.numbers, event)));
    }

    fn trace(&mut self, text: impl FnOnce() -> String) {
        if self.traces {
            self.report.told.push(format!("{:>9.3} {}", self.now as f64 / 1000.0, text()));
        }
    }

    fn lives(&self, node: usize, life: u32) -> bool {
        self.nodes[node].life == life && self.nodes[node].is_up()
    }

    fn happens(&mut self, event: Event) -> Result<(), Fault> {
        match event {
            Event::Act(number) => self.act(number),
            Event::Heal => {
                self.is_healed = true;
                self.network.heal();
                for node in &mut self.nodes {
                    (node.broken_until, node.check) = (0, 20);
                }
                Ok(())
            }
            Event::Start(node) => self.start(node),
            Event::Tick(node) => {
                self.at(self.now + TICK, Event::Tick(node));
                let clock = self.nodes[node].clock(self.now);
                let Some(mirror) = &mut self.nodes[node].mirror else { return Ok(()) };
                mirror.handle_tick(clock);
                let usage = mirror.usage();
                let is_within = usage.answers <= limits::ANSWERS + 1
                    && usage.changes <= limits::CHANGES
                    && usage.tombstones <= limits::TOMBSTONES
                    && usage.counted <= limits::COUNTED + limits::LEVELS
                    && usage.sets <= 3 * 300_000;
                if !is_within {
                    return Err(format!("{} uses {usage:?}", NAMES[node]));
                }
                self.settle(node, true)
            }
            Event::Connect(one, other) => self.connect(one, other),
            Event::Ended(node, other, number) => self.ended(node, other, number),
            Event::Arrives { from, to, number, bytes } => self.arrives(from, to, number, &bytes),
            Event::Checked { node, life, version, bad } if self.lives(node, life) => {
                let result = if bad { Err("it has a fault".to_owned()) } else { Ok(()) };
                let clock = self.nodes[node].clock(self.now);
                self.nodes[node].mirror.as_mut().unwrap().handle_checked(clock, &version, result);
                self.settle(node, false)
            }
            Event::Durable { node, life, state, set } if self.lives(node, life) => {
                self.durable(node, state, set)
            }
            Event::Applied { node, life, version, failed } if self.lives(node, life) => {
                let result = if failed { Err("bind() failed".to_owned()) } else { Ok(()) };
                let clock = self.nodes[node].clock(self.now);
                self.nodes[node].mirror.as_mut().unwrap().handle_applied(clock, &version, result);
                self.settle(node, false)
            }
            Event::Stored { node, life, serial } if self.lives(node, life) => {
                let clock = self.nodes[node].clock(self.now);
                self.nodes[node].mirror.as_mut().unwrap().handle_stored(clock, serial);
                self.settle(node, false)
            }
            _ => Ok(()),
        }
    }

    fn act(&mut self, number: usize) -> Result<(), Fault> {
        let act = self.plan.acts[number].1.clone();
        self.trace(|| format!("{act:?}"));
        let now = self.now;
        let until = |length: Millis| (now + length).min(self.plan.healed);
        match act {
            Act::Propose { node, size, bad_for } => self.propose(node, size, bad_for),
            Act::Cut { from, to, both, length } => {
                self.cut(from, to, until(length));
                if both {
                    self.cut(to, from, until(length));
                }
                Ok(())
            }
            Act::Replace { one, other } => {
                if self.network.replace(one, other) {
                    self.try_to_connect(one, other)?;
                }
                Ok(())
            }
            Act::Slow { one, other, length } => {
                self.network.slow(one, other, until(length));
                Ok(())
            }
            Act::Crash { node, length } => {
                self.crash(node);
                self.at(until(length), Event::Start(node));
                Ok(())
            }
            Act::Restore { node, length } => {
                self.crash(node);
                let backups = &self.nodes[node].backups;
                let disk = self.random.usize(..=backups.len());
                self.nodes[node].disk = backups.get(disk).cloned().unwrap_or_default();
                self.at(until(length), Event::Start(node));
                Ok(())
            }
            Act::Jump { node, by } => {
                self.nodes[node].jump(by);
                Ok(())
            }
            Act::Broken { node, length } => {
                self.nodes[node].broken_until = until(length);
                Ok(())
            }
            Act::SlowCheck { node, length } => {
                self.nodes[node].check = length;
                Ok(())
            }
            act => self.act_on_state(number, act),
        }
    }

    fn act_on_state(&mut self, number: usize, act: Act) -> Result<(), Fault> {
        match act {
            Act::Record { node, key, removes } => {
                let value = (!removes).then(|| format!("{number}").into_bytes());
                self.put(node, &format!("key {key}"), value);
                self.settle(node, false)
            }
            Act::Flood { node, count } => {
                for at in 0..count {
                    self.put(node, &format!("key {number} {at}"), Some(b"x".to_vec()));
                }
                self.settle(node, false)
            }
            Act::Garbage { from, to } => {
                let number = self.network.get(from, to).number;
                self.network.has_broken = true;
                let bytes = (0..self.random.usize(..40)).map(|_| self.random.u8(..)).collect();
                self.at(self.now + 1, Event::Arrives { from, to, number, bytes });
                Ok(())
            }
            Act::Health { node } => {
                let value = format!("health {number}").into_bytes();
                let Some(mirror) = &mut self.nodes[node].mirror else { return Ok(()) };
                mirror.put_own(Kind::Health, b"health", Some(value.clone())).unwrap();
                self.nodes[node].health = Some(value);
                self.settle(node, false)
            }
            Act::Count { node, key, amount, level } => {
                let Some(mirror) = &mut self.nodes[node].mirror else { return Ok(()) };
                let zone: Arc<str> = "zone".into();
                mirror.count(&zone, &[key], amount);
                mirror.set_level(&zone, &[key], level);
                self.nodes[node].levels.insert(key, level);
                *self.judge.admitted.entry(node).or_default() += u64::from(amount);
                self.settle(node, false)
            }
            _ => Ok(()),
        }
    }

    fn put(&mut self, node: usize, key: &str, value: Option<Vec<u8>>) {
        let place = &mut self.nodes[node];
        let Some(mirror) = &mut place.mirror else { return };
        let bytes = key.as_bytes().to_vec();
        mirror.put_record(Key { kind: Kind::Keyval, key: bytes.clone() }, value.clone()).unwrap();
        match value {
            Some(value) => place.seen.insert(bytes, value),
            None => place.seen.remove(&bytes),
        };
    }

    fn propose(&mut self, node: usize, size: usize, bad_for: Option<usize>) -> Result<(), Fault> {
        let (clock, life) = (self.nodes[node].clock(self.now), self.nodes[node].life);
        let Some(mirror) = &mut self.nodes[node].mirror else { return Ok(()) };
        self.proposals += 1;
        let number = self.proposals;
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_be_bytes());
        // The node that finds a fault in it.
        digest[8] = bad_for.map_or(255, |node| node as u8);
        let base = mirror.standing().map(|standing| standing.version.digest);
        self.judge.proposed(number, digest, base, node, life);
        let bytes = vec![number as u8; size].into();
        mirror.propose(clock, number, Proposed { digest, signature: vec![7; 64], bytes });
        self.settle(node, false)
    }

    fn cut(&mut self, from: usize, to: usize, until: Millis) {
        self.network.cut(from, to, until);
        self.end_connection(from, to);
    }

    /// Both sides notice the end of a connection, each at its time.
    fn end_connection(&mut self, one: usize, other: usize) {
        self.network.has_broken = true;
        let number = self.network.get(one, other).number;
        for (node, other) in [(one, other), (other, one)] {
            let at = self.now + self.random.u64(1..8000);
            self.at(at, Event::Ended(node, other, number));
        }
    }

    fn crash(&mut self, node: usize) {
        self.nodes[node].stop();
        for other in (0..self.plan.nodes).filter(|other| *other != node) {
            self.network.lose(node, other);
            self.network.lose(other, node);
            self.network.get(node, other).up[side(node, other)] = false;
            let number = self.network.get(node, other).number;
            let at = self.now + self.random.u64(1..8000);
            self.at(at, Event::Ended(other, node, number));
        }
    }

    fn start(&mut self, node: usize) -> Result<(), Fault> {
        if self.nodes[node].is_up() {
            return Ok(());
        }
        let oldest = self.nodes[node].backups.first().cloned();
        if let (Some(Sabotage::StartsOlder), Some(oldest)) = (self.sabotage, oldest) {
            self.nodes[node].disk = oldest;
        }
        let nodes = self.plan.nodes;
        self.nodes[node].busy = self.now;
        self.nodes[node].start(node, nodes);
        self.trace(|| format!("{} starts", NAMES[node]));
        if let Some(version) = self.nodes[node].disk.version() {
            self.judge.in_force(node, version)?;
        }
        self.settle(node, false)
    }

    fn connect(&mut self, one: usize, other: usize) -> Result<(), Fault> {
        let again = self.now + 500 + self.random.u64(..4000);
        self.at(again, Event::Connect(one, other));
        self.try_to_connect(one, other)
    }

    fn try_to_connect(&mut self, one: usize, other: usize) -> Result<(), Fault> {
        let both_up = self.nodes[one].is_up() && self.nodes[other].is_up();
        if !both_up || !self.network.connect(one, other, self.now) {
            return Ok(());
        }
        self.trace(|| format!("{} and {} are connected", NAMES[one], NAMES[other]));
        for (node, other) in [(one, other), (other, one)] {
            let clock = self.nodes[node].clock(self.now);
            let mirror = self.nodes[node].mirror.as_mut().unwrap();
            mirror.handle_connected(clock, &name(other), limits::PROTOCOL.into());
            self.settle(node, false)?;
        }
        Ok(())
    }

    fn ended(&mut self, node: usize, other: usize, number: u32) -> Result<(), Fault> {
        let connection = self.network.get(node, other);
        let at = side(node, other);
        if connection.number != number || !connection.up[at] {
            return Ok(());
        }
        connection.up[at] = false;
        connection.lost = [true; 2];
        let clock = self.nodes[node].clock(self.now);
        let Some(mirror) = &mut self.nodes[node].mirror else { return Ok(()) };
        mirror.handle_disconnected(clock, &name(other));
        self.trace(|| format!("{} has lost {}", NAMES[node], NAMES[other]));
        // The other side notices in its time, if it has not.
        let at = self.now + self.random.u64(1..8000);
        self.at(at, Event::Ended(other, node, number));
        self.settle(node, false)
    }

    fn arrives(&mut self, from: usize, to: usize, number: u32, bytes: &[u8]) -> Result<(), Fault> {
        let is_cut = self.network.is_cut(from, to, self.now);
        let at = side(to, from);
        let connection = self.network.get(from, to);
        if connection.number != number || !connection.up[at] || connection.lost[at] || is_cut {
            return Ok(());
        }
        let clock = self.nodes[to].clock(self.now);
        let Some(mirror) = &mut self.nodes[to].mirror else { return Ok(()) };
        mirror.handle_message(clock, &name(from), bytes);
        self.settle(to, false)
    }

    fn durable(
        &mut self,
        node: usize,
        state: Vec<u8>,
        set: Option<Arc<[u8]>>,
    ) -> Result<(), Fault> {
        let place = &mut self.nodes[node];
        let before = place.disk.clone();
        let set = set.or_else(|| place.disk.0.as_ref().map(|(_, set)| Arc::clone(set)));
        place.disk = Disk(set.map(|set| (state, set)));
        let version = place.disk.version();
        if version == before.version() {
            return Ok(());
        }
        place.backups.push(before);
        self.trace(|| format!("{} has {version:?}", NAMES[node]));
        version.map_or(Ok(()), |version| self.judge.in_force(node, version))
    }

    /// Carries out what a node wants, and takes its messages.
    fn settle(&mut self, node: usize, is_tick: bool) -> Result<(), Fault> {
        loop {
            let Some(mirror) = &mut self.nodes[node].mirror else { return Ok(()) };
            let Some(effect) = mirror.poll_effect() else { break };
            self.effect(node, effect)?;
        }
        for other in (0..self.plan.nodes).filter(|other| *other != node) {
            self.send(node, other, is_tick);
        }
        Ok(())
    }

    fn send(&mut self, node: usize, other: usize, is_tick: bool) {
        let connection = *self.network.get(node, other);
        if !connection.up[side(node, other)] {
            return;
        }
        let is_slow = self.network.is_slow(node, other, self.now);
        let most = if is_slow { usize::from(is_tick) } else { usize::MAX };
        for class in [Class::Config, Class::Counters, Class::State] {
            for _ in 0..most {
                let clock = self.nodes[node].clock(self.now);
                let Some(mirror) = &mut self.nodes[node].mirror else { return };
                let Some(bytes) = mirror.poll_message(clock, &name(other), class) else { break };
                self.pass_on(node, other, bytes);
            }
        }
    }

    fn pass_on(&mut self, from: usize, to: usize, mut bytes: Vec<u8>) {
        let kind = bytes[1];
        self.trace(|| {
            format!("{} to {}: kind {kind}, {} bytes", NAMES[from], NAMES[to], bytes.len())
        });
        if kind == 5 {
            self.verdict(&mut bytes);
        }
        let connection = self.network.get(from, to);
        let (at, number) = (side(to, from), connection.number);
        let sabotage = self.sabotage;
        let is_lost = match kind {
            1 if sabotage == Some(Sabotage::TellsOnce) => connection.last[at] > self.now,
            18 if sabotage == Some(Sabotage::LosesRecords) => self.random.bool(),
            33 if sabotage == Some(Sabotage::LosesLevels) => bytes.ends_with(&[0; 4]),
            _ => false,
        };
        if self.network.is_cut(from, to, self.now) {
            self.network.lose(from, to);
        }
        if is_lost {
            return;
        }
        let delay = self.random.u64(..=self.plan.delay);
        let connection = self.network.get(from, to);
        let arrival = connection.last[at].max(self.now + delay);
        connection.last[at] = arrival;
        if kind == 32 && sabotage == Some(Sabotage::CountsTwice) {
            let bytes = bytes.clone();
            self.at(arrival, Event::Arrives { from, to, number, bytes });
        }
        self.at(arrival, Event::Arrives { from, to, number, bytes });
    }

    /// Notes a refusal: version, kind, counter, name, digest, verdict.
    fn verdict(&mut self, bytes: &mut Vec<u8>) {
        let name = 14 + usize::from(bytes[10]);
        if bytes[name + 32] == 1 {
            self.judge.refused(*bytes[name..].first_chunk().unwrap());
            if self.sabotage == Some(Sabotage::AgreesAlways) {
                bytes[name + 32] = 0;
                bytes.truncate(name + 33);
            }
        }
    }

    fn sum_up(&mut self) {
        let report = &mut self.report;
        for outcome in self.judge.outcomes().flatten() {
            let count = match outcome {
                Outcome::Acknowledged(_) => &mut report.acknowledged,
                Outcome::Applied(..) => &mut report.applied,
                Outcome::Replaced(..) => &mut report.replaced,
                Outcome::Refused(..) => &mut report.refused,
                Outcome::Concurrent(_) => &mut report.concurrent,
                _ => &mut report.other,
            };
            *count += 1;
        }
    }
}
