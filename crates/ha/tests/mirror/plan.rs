//! The world of a seed: the nodes, and what happens to them.

/// Milliseconds of virtual time.
pub(crate) type Millis = u64;

pub(crate) const SECOND: Millis = 1000;

/// The time in which everything is in order again, and nodes must agree. A proposal may wait for
/// its check, its confirmation and a retry.
pub(crate) const HEALING: Millis = 240 * SECOND;

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// A node proposes a set of so many bytes. A node may find a fault in it until the healing.
    Propose { node: usize, size: usize, bad_for: Option<usize> },
    /// Messages from one node to another are lost for a time.
    Cut { from: usize, to: usize, both: bool, length: Millis },
    /// Another connection takes the place of one, as when both nodes dial: neither was away, and
    /// what was on its way is lost.
    Replace { one: usize, other: usize },
    /// A link takes one message at a time.
    Slow { one: usize, other: usize, length: Millis },
    /// A node dies, and starts again.
    Crash { node: usize, length: Millis },
    /// A node dies, and starts with the disk of an earlier time.
    Restore { node: usize, length: Millis },
    /// A node's clock jumps, by milliseconds.
    Jump { node: usize, by: i64 },
    /// A node fails to put sets in force for a time.
    Broken { node: usize, length: Millis },
    /// A node needs so long for a check, from now on.
    SlowCheck { node: usize, length: Millis },
    /// A node sets or removes a record.
    Record { node: usize, key: u8, removes: bool },
    /// A node sets many records.
    Flood { node: usize, count: u32 },
    /// A node tells its health.
    Health { node: usize },
    /// A node admits requests, and has so many connections.
    Count { node: usize, key: u8, amount: u32, level: u32 },
    /// A node sends bytes that are no message.
    Garbage { from: usize, to: usize },
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    /// The delay of messages, in milliseconds.
    pub(crate) delay: Millis,
    pub(crate) acts: Vec<(Millis, Act)>,
    /// The time at which everything is in order again.
    pub(crate) healed: Millis,
}

impl Plan {
    pub(crate) fn restores(&self) -> bool {
        self.acts.iter().any(|(_, act)| matches!(act, Act::Restore { .. }))
    }
}

pub(crate) fn of_seed(seed: u64) -> Plan {
    let mut random = fastrand::Rng::with_seed(seed);
    let nodes = if random.u8(..3) == 0 { 3 } else { 2 };
    let length = SECOND * random.u64(20..240);
    let delay = [1, 5, 50, 400][random.usize(..4)];
    let mut acts = Vec::new();
    let count = random.usize(10..50);
    let victim = (random.u8(..4) == 0).then(|| random.usize(..nodes));
    let calm = random.u8(..8) == 0;
    for _ in 0..count {
        // The nodes are connected before.
        let at = random.u64(10..length);
        let act = act(&mut random, nodes, victim, calm);
        if let Act::Propose { size, bad_for, .. } = act {
            // Sometimes all nodes propose at once.
            if random.u8(..5) == 0 {
                for node in 0..nodes {
                    let at = at + random.u64(..=delay * 2);
                    acts.push((at, Act::Propose { node, size, bad_for }));
                }
                continue;
            }
        }
        acts.push((at, act));
    }
    acts.sort_by_key(|(at, _)| *at);
    Plan { seed, nodes, delay, acts, healed: length }
}

fn act(random: &mut fastrand::Rng, nodes: usize, victim: Option<usize>, calm: bool) -> Act {
    let node = random.usize(..nodes);
    let other = (node + random.usize(1..nodes)) % nodes;
    let length = match random.u8(..3) {
        0 => random.u64(10..2000),
        1 => random.u64(500..20_000),
        _ => random.u64(10_000..100_000),
    };
    match random.u8(..if calm { 18 } else { 31 }) {
        0..7 => Act::Propose {
            node,
            size: if random.u8(..40) == 0 { 300_000 } else { random.usize(..300) },
            bad_for: (random.u8(..5) == 0).then_some(other),
        },
        7..12 => Act::Record { node, key: random.u8(..8), removes: random.u8(..4) == 0 },
        12..14 => Act::Health { node },
        14..17 => {
            let (amount, level) = (random.u32(1..50), random.u32(..4));
            Act::Count { node, key: random.u8(..4), amount, level }
        }
        17 if random.u8(..200) == 0 => Act::Flood { node, count: 6000 },
        17 => Act::Flood { node, count: random.u32(1..50) },
        18..22 => Act::Cut { from: node, to: other, both: random.bool(), length },
        22 => Act::Slow { one: node, other, length },
        23..26 => Act::Crash { node, length },
        26 => match victim {
            Some(node) => Act::Restore { node, length },
            None => Act::Crash { node, length },
        },
        27 => {
            let by = if random.bool() { random.i64(0..3_600_000) } else { -random.i64(0..60_000) };
            Act::Jump { node, by }
        }
        28 if random.bool() => Act::Broken { node, length },
        28 => Act::SlowCheck { node, length: random.u64(..40_000) },
        29 => Act::Replace { one: node, other },
        _ => Act::Garbage { from: node, to: other },
    }
}
