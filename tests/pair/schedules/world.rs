//! The nodes, and what happens to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::super::linked::{Answer, answer_to, changes_of, linked, with_change};
use super::super::node::Node;
use super::judge::{self, Counters, Found, Pairs, pairs_of};
use super::plan::{Act, Cut, Meanwhile, Plan};
use super::watch::Watch;
use super::*;
use crate::harness::{Signal, send_signal};

/// The time limit of a wait: a node that could not put a version in force tries again after 5
/// seconds, and later.
const LONG: Duration = Duration::from_secs(60);

/// The time between two looks at something that costs a process or a connection.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// What happens, with its times.
pub(super) struct Trace {
    started: Instant,
    lines: Mutex<Vec<String>>,
    shown: bool,
}

impl Trace {
    pub(super) fn new(shown: bool) -> Self {
        Self { started: Instant::now(), lines: Mutex::default(), shown }
    }

    fn say(&self, what: impl Display) {
        let line = format!("{:7.3} {what}\n", self.started.elapsed().as_secs_f64());
        if self.shown {
            eprint!("{line}");
        }
        self.lines.lock().unwrap().push(line);
    }

    pub(super) fn text(&self) -> String {
        self.lines.lock().unwrap().concat()
    }
}

/// Waits for a value, with time between the looks.
#[track_caller]
fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(started.elapsed() < LONG, "waited {LONG:?} in vain for {what}");
        std::thread::park_timeout(LOOK_AGAIN);
    }
}

struct World<'a> {
    network: &'a Network,
    nodes: Vec<Node<'a>>,
    watch: Watch,
    trace: &'a Trace,
    report: Report,
    cuts: Vec<Cut>,
    narrow: BTreeSet<usize>,
    /// When the present cuts began.
    parted_since: Option<Instant>,
    /// The times in which there were cuts.
    parted: Vec<(Instant, Instant)>,
    /// The number of the last change, and those that were acknowledged.
    change: u32,
    acknowledged: BTreeSet<u32>,
    written: u32,
    pairs: Pairs,
    /// The counters of the present workers.
    counters: BTreeMap<usize, Counters>,
}

/// Runs a schedule; a broken promise is a panic.
pub(super) fn run(plan: &Plan, trace: &Trace) -> Report {
    let network = Network::new(plan.nodes).unwrap();
    let directory = Directory::new();
    network.in_front(|| {
        let nodes = linked(&network, &directory, plan.nodes, "");
        let watch = Watch::start(&network, plan.nodes);
        let mut world = World {
            network: &network,
            nodes,
            watch,
            trace,
            report: Report::default(),
            cuts: Vec::new(),
            narrow: BTreeSet::new(),
            parted_since: None,
            parted: Vec::new(),
            change: 0,
            acknowledged: BTreeSet::new(),
            written: 0,
            pairs: Pairs::default(),
            counters: BTreeMap::new(),
        };
        world.wait_whole();
        trace.say("the nodes are linked");
        for (pause, act) in &plan.acts {
            std::thread::park_timeout(*pause);
            trace.say(format_args!("{act:?}"));
            world.act(*act);
        }
        world.end();
        world.report
    })
}

impl World<'_> {
    fn act(&mut self, act: Act) {
        match act {
            Act::Cut(cut) => self.cut(cut),
            Act::Split(cut) => self.split(cut),
            Act::Heal => self.heal(),
            Act::Slow(node) => {
                self.part();
                self.network.narrow(node, true);
                self.narrow.insert(node);
            }
            Act::KillWorker(node) => self.kill_worker(node),
            Act::KillNode(node) => self.kill_node(node),
            Act::Start => self.start(),
            Act::Change(node, meanwhile) => {
                self.change(node, meanwhile);
            }
            Act::Pair { node, key, removes } => self.pair(node, key, removes),
            Act::Requests { node, count } => self.requests(node, count),
        }
    }

    fn node(&self, number: usize) -> &Node<'_> {
        &self.nodes[number - 1]
    }

    /// The nodes that run.
    fn running(&self) -> impl Iterator<Item = &Node<'_>> {
        self.nodes.iter().filter(|node| node.runs())
    }

    /// From now on, nodes may not hear each other.
    fn part(&mut self) {
        self.parted_since.get_or_insert_with(Instant::now);
    }

    fn cut(&mut self, cut: Cut) {
        self.part();
        self.report.cuts += 1;
        match cut {
            Cut::Apart(nodes) => self.network.part(nodes, true),
            Cut::Unplugged(node) => self.network.plug(node, false),
            Cut::OneWay { from, to } => self.network.deafen(from, to, true),
        }
        self.cuts.push(cut);
    }

    /// A cut until both of two nodes hold the address, which they then say.
    fn split(&mut self, cut: Cut) {
        let is_whole = self.cuts.is_empty() && self.nodes.len() == 2;
        let all_run = self.nodes.iter().all(Node::runs);
        self.cut(cut);
        if !matches!(cut, Cut::Apart(_)) || !is_whole || !all_run {
            return;
        }
        wait("two holders", || (self.watch.holders() == 2).then_some(()));
        self.trace.say("both hold the address");
        for node in &self.nodes {
            wait("a status that tells of the cut", || {
                let status = node.status()?;
                let link = &status["links"]["links"][0];
                let is_down = link["up"] == false && link["reason"] != "";
                let holds = status["groups"][0]["here"] == "holds";
                (is_down && holds).then_some(())
            });
        }
        self.trace.say("both say so");
    }

    fn heal(&mut self) {
        for cut in std::mem::take(&mut self.cuts) {
            match cut {
                Cut::Apart(nodes) => self.network.part(nodes, false),
                Cut::Unplugged(node) => self.network.plug(node, true),
                Cut::OneWay { from, to } => self.network.deafen(from, to, false),
            }
        }
        for node in std::mem::take(&mut self.narrow) {
            self.network.narrow(node, false);
        }
        self.parted.extend(self.parted_since.take().map(|since| (since, Instant::now())));
    }

    fn kill_worker(&mut self, number: usize) {
        if !self.node(number).runs() {
            return;
        }
        self.report.kills += 1;
        self.counters.remove(&number);
        let node = self.node(number);
        send_signal(node.process("weir: worker"), Signal::KILL);
        wait("the next worker", || node.ask("GET", "/changes", ""));
    }

    fn kill_node(&mut self, number: usize) {
        if !self.node(number).runs() {
            return;
        }
        self.report.kills += 1;
        self.counters.remove(&number);
        let others = self.running().filter(|node| node.number != number).filter_map(pairs_of);
        let others: Vec<_> = others.collect();
        self.pairs.die(&others);
        self.nodes[number - 1].kill();
    }

    fn start(&mut self) {
        for node in self.nodes.iter_mut().filter(|node| !node.runs()) {
            node.wait_gone();
            node.launch();
            wait("a worker", || node.ask("GET", "/changes", ""));
            self.trace.say(format_args!("node {} runs again", node.name()));
        }
    }

    /// Changes a node's files, and reloads it if it runs.
    fn change(&mut self, number: usize, meanwhile: Meanwhile) -> Answer {
        self.change += 1;
        let (change, node) = (self.change, self.node(number));
        let text = node.read("nginx.conf");
        node.put("nginx.conf", &with_change(&text, change));
        if !node.runs() {
            self.trace.say(format_args!("change {change} while it is down"));
            return Answer::None;
        }
        let before = node.log().len();
        send_signal(node.pid(), Signal::HUP);
        let mut dies = false;
        let pause = |after| std::thread::park_timeout(Duration::from_millis(after));
        match meanwhile {
            Meanwhile::Nothing => {}
            Meanwhile::Worker(victim, after) => {
                pause(after);
                self.kill_worker(victim);
                dies = victim == number;
            }
            Meanwhile::Node(victim, after) => {
                pause(after);
                self.kill_node(victim);
                dies = victim == number;
            }
            Meanwhile::Cut(cut, after) => {
                pause(after);
                self.cut(cut);
            }
        }
        let answer = match dies {
            true => answer_to(self.node(number), change, before).unwrap_or(Answer::None),
            false => wait("an answer to a change", || answer_to(self.node(number), change, before)),
        };
        self.trace.say(format_args!("change {change}: {answer:?}"));
        match answer {
            Answer::Acknowledged => {
                self.report.acknowledged += 1;
                self.acknowledged.insert(change);
            }
            Answer::Applied => self.report.applied += 1,
            Answer::Nothing => self.report.refused += 1,
            Answer::None => self.report.unanswered += 1,
        }
        answer
    }

    fn pair(&mut self, number: usize, key: u8, removes: bool) {
        let node = &self.nodes[number - 1];
        if !node.runs() {
            return;
        }
        let key = format!("key{key}");
        self.written += 1;
        let value = format!("{}{}", node.name(), self.written);
        // Another node's write may come between the look and the write: it is looked again then.
        let (before, after) = wait("a written pair", || {
            let before = pairs_of(node)?.remove(&key);
            let (method, after) = match (&before, removes) {
                (None, true) => return Some((None, None)),
                (Some(_), true) => ("PATCH", None),
                (None, false) => ("POST", Some(value.clone())),
                (Some(_), false) => ("PATCH", Some(value.clone())),
            };
            let body = serde_json::json!({ key.as_str(): after }).to_string();
            let (status, _) = node.ask(method, "/api/9/http/keyvals/pairs", &body)?;
            (status == 201 || status == 204).then_some((before, after))
        });
        self.trace.say(format_args!("{key} on {}: {before:?} to {after:?}", node.name()));
        if before.is_some() || after.is_some() {
            self.report.pairs += 1;
            self.pairs.write(&key, before.as_deref(), after);
        }
    }

    fn requests(&mut self, number: usize, count: usize) {
        if !self.node(number).runs() {
            return;
        }
        self.count(number, 0, 0);
        let (mut passed, mut rejected) = (0, 0);
        let node = self.node(number);
        for _ in 0..count {
            let answer = wait("an answer", || node.ask("GET", "/limited?key=x", ""));
            match answer.0 {
                204 => passed += 1,
                503 => rejected += 1,
                other => panic!("status {other}"),
            }
        }
        self.count(number, passed, rejected);
    }

    /// Compares the counters of a worker with the earlier ones, after so many limited requests.
    fn count(&mut self, number: usize, passed: u64, rejected: u64) {
        let node = self.node(number);
        let now = wait("counters", || Counters::of(node));
        if let Some(before) = self.counters.insert(number, now) {
            before.judge(now, passed, rejected);
        }
    }

    /// Waits until all nodes see each other and have one configuration.
    fn wait_whole(&self) -> BTreeSet<u32> {
        let mut seen = Vec::new();
        let started = Instant::now();
        while started.elapsed() < LONG {
            seen = self.nodes.iter().map(view).collect();
            if let Some(first) = seen.first().and_then(Option::as_ref)
                && seen.iter().all(|view| view.as_ref() == Some(first))
            {
                return changes_of(&first.1);
            }
            std::thread::park_timeout(LOOK_AGAIN);
        }
        panic!("the nodes do not agree: {seen:?}");
    }

    /// Waits until all nodes have the same pairs.
    fn wait_pairs(&self) -> Found {
        let started = Instant::now();
        loop {
            let mut found: Vec<Option<Found>> = self.nodes.iter().map(pairs_of).collect();
            if found[0].is_some() && found.windows(2).all(|two| two[0] == two[1]) {
                return found.remove(0).unwrap();
            }
            assert!(started.elapsed() < LONG, "the pairs differ: {found:?}");
            std::thread::park_timeout(LOOK_AGAIN);
        }
    }

    /// The network is whole again, and every node runs.
    fn end(&mut self) {
        self.heal();
        self.start();
        self.trace.say("healed");
        judge::judge_changes(&self.acknowledged, &self.wait_whole());
        wait("one holder", || (self.watch.holders() == 1).then_some(()));
        self.trace.say("one configuration, one holder");
        let pairs = self.wait_pairs();
        self.pairs.judge(&pairs);
        // What is whole takes changes. A link of both nodes may still take the other one's place, or
        // an earlier change be under way, and then the answer says so.
        let started = Instant::now();
        let node = 1 + self.change as usize % self.nodes.len();
        while self.change(node, Meanwhile::Nothing) != Answer::Acknowledged {
            assert!(started.elapsed() < LONG, "no change is acknowledged any more");
        }
        judge::judge_changes(&self.acknowledged, &self.wait_whole());
        for number in 1..=self.nodes.len() {
            self.count(number, 0, 0);
        }
        let both = self.watch.both();
        self.report.both += usize::from(!both.is_empty());
        judge::judge_holders(&both, &self.parted);
    }
}

/// The digest of a node's configuration and its changes, if all its links are up, and all
/// partners have the same one.
fn view(node: &Node<'_>) -> Option<(String, String)> {
    let links = node.links()?;
    let digest = links["status"]["configuration"].as_str()?.to_owned();
    let is_same = |link: &serde_json::Value| {
        link["up"] == true && link["status"]["configuration"] == digest.as_str()
    };
    let is_whole = links["links"].as_array()?.iter().all(is_same);
    let (_, changes) = node.ask("GET", "/changes", "").filter(|_| is_whole)?;
    Some((digest, changes))
}
