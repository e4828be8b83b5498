//! The schedule of a seed.

use std::time::Duration;

/// A cut of the network between nodes, which are numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Between the switches of two nodes, whose own links are up.
    Apart([usize; 2]),
    /// A node's cable is out.
    Unplugged(usize),
    /// Nothing gets from one node to another.
    OneWay { from: usize, to: usize },
}

/// What happens in the middle of a change of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meanwhile {
    Nothing,
    /// A node's worker is killed after so many milliseconds.
    Worker(usize, u64),
    /// Master and worker of a node are killed.
    Node(usize, u64),
    /// The network is cut.
    Cut(Cut, u64),
}

/// Something that happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Cut(Cut),
    /// A cut that lasts until two nodes hold the address.
    Split(Cut),
    Heal,
    /// What a node sends gets 256 kbit/s until the next healing.
    Slow(usize),
    /// SIGKILL of a worker.
    KillWorker(usize),
    /// SIGKILL of master and worker.
    KillNode(usize),
    /// Nodes that were killed start again.
    Start,
    /// A node's files are changed and, if it runs, reloaded.
    Change(usize, Meanwhile),
    /// A pair is written, or removed, by a node's API.
    Pair {
        node: usize,
        key: u8,
        removes: bool,
    },
    /// Limited requests to a node.
    Requests {
        node: usize,
        count: usize,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) nodes: usize,
    /// Each with the time before it.
    pub(super) acts: Vec<(Duration, Act)>,
}

pub(super) fn of_seed(seed: u64) -> Plan {
    let mut random = fastrand::Rng::with_seed(seed);
    let nodes = if random.u8(..5) == 0 { 3 } else { 2 };
    let count = random.usize(7..=12);
    let mut acts = Vec::new();
    for _ in 0..count {
        let pause = Duration::from_millis(random.u64(..200));
        acts.push((pause, act(&mut random, nodes)));
    }
    Plan { nodes, acts }
}

fn cut(random: &mut fastrand::Rng, nodes: usize) -> Cut {
    let node = random.usize(..nodes);
    let other = (node + random.usize(1..nodes)) % nodes;
    let (node, other) = (node + 1, other + 1);
    match random.u8(..6) {
        0..3 => Cut::Apart([node, other]),
        3 => Cut::Unplugged(node),
        _ => Cut::OneWay { from: node, to: other },
    }
}

fn act(random: &mut fastrand::Rng, nodes: usize) -> Act {
    let node = random.usize(1..=nodes);
    match random.u8(..32) {
        0..6 => Act::Cut(cut(random, nodes)),
        6..8 => Act::Split(cut(random, nodes)),
        8..12 => Act::Heal,
        12 => Act::Slow(node),
        13..15 => Act::KillWorker(node),
        15..17 => Act::KillNode(node),
        17 => Act::Start,
        18..25 => {
            let (victim, after) = (random.usize(1..=nodes), random.u64(..60));
            let meanwhile = match random.u8(..9) {
                0 => Meanwhile::Worker(victim, after),
                1 => Meanwhile::Node(victim, after),
                2 => Meanwhile::Cut(cut(random, nodes), after),
                _ => Meanwhile::Nothing,
            };
            Act::Change(node, meanwhile)
        }
        25..30 => Act::Pair { node, key: random.u8(..4), removes: random.u8(..5) == 0 },
        _ => Act::Requests { node, count: random.usize(1..20) },
    }
}
