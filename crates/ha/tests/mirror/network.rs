//! Connections between nodes: ordered, and reliable until they break, which each side notices at a
//! time of its own.

use std::collections::BTreeMap;

use crate::plan::Millis;

/// A connection of two nodes, the smaller first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Connection {
    pub(crate) number: u32,
    /// Whether the sides still think it is up.
    pub(crate) up: [bool; 2],
    /// Whether a message was lost towards a side, so that no further one arrives.
    pub(crate) lost: [bool; 2],
    /// The arrival of the last message towards a side.
    pub(crate) last: [Millis; 2],
}

#[derive(Default)]
pub(crate) struct Network {
    connections: BTreeMap<(usize, usize), Connection>,
    /// Until when messages from one node to another are lost.
    cut: BTreeMap<(usize, usize), Millis>,
    /// Until when a pair's link is slow.
    slow: BTreeMap<(usize, usize), Millis>,
    numbers: u32,
    /// Whether any connection has broken.
    pub(crate) has_broken: bool,
}

pub(crate) fn pair(one: usize, other: usize) -> (usize, usize) {
    (one.min(other), one.max(other))
}

/// The index of a node in its connection to another.
pub(crate) fn side(node: usize, other: usize) -> usize {
    usize::from(node > other)
}

impl Network {
    pub(crate) fn get(&mut self, one: usize, other: usize) -> &mut Connection {
        self.connections.entry(pair(one, other)).or_default()
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize, until: Millis) {
        let known = self.cut.entry((from, to)).or_default();
        *known = until.max(*known);
        self.lose(from, to);
    }

    /// What is on its way is lost, and everything after it.
    pub(crate) fn lose(&mut self, from: usize, to: usize) {
        self.get(from, to).lost[side(to, from)] = true;
        self.has_broken = true;
    }

    pub(crate) fn is_cut(&self, from: usize, to: usize, now: Millis) -> bool {
        self.cut.get(&(from, to)).is_some_and(|until| now < *until)
    }

    pub(crate) fn slow(&mut self, one: usize, other: usize, until: Millis) {
        self.slow.insert(pair(one, other), until);
    }

    pub(crate) fn is_slow(&self, one: usize, other: usize, now: Millis) -> bool {
        self.slow.get(&pair(one, other)).is_some_and(|until| now < *until)
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        self.slow.clear();
    }

    /// Ends a connection that both sides have, in favour of another one. Whether there was one.
    pub(crate) fn replace(&mut self, one: usize, other: usize) -> bool {
        let connection = self.get(one, other);
        let was_up = connection.up == [true; 2] && connection.lost == [false; 2];
        if was_up {
            connection.up = [false; 2];
            self.has_broken = true;
        }
        was_up
    }

    /// A new connection, if the pair can have one.
    pub(crate) fn connect(&mut self, one: usize, other: usize, now: Millis) -> bool {
        if self.is_cut(one, other, now) || self.is_cut(other, one, now) {
            return false;
        }
        let numbers = self.numbers + 1;
        let connection = self.get(one, other);
        let is_whole = connection.up == [true; 2] && connection.lost == [false; 2];
        // A side that has not noticed the end of the old connection is no obstacle, the other must
        // have.
        if is_whole || connection.up == [true; 2] {
            return false;
        }
        *connection =
            Connection { number: numbers, up: [true; 2], lost: [false; 2], last: [now; 2] };
        self.numbers = numbers;
        true
    }
}
