//! The tree of RFC 7540 section 5.3: streams that depend on others, and share by weights.
//!
//! ```text
//!        root ──── 3 (weight 201) ──── 13 ──── 15     3 and 11: 201 to 1
//!             └─── 11 (weight 1) ───── 17             15 after 13
//! ```
//!
//! A stream is served before those that depend on it; those that depend on the same one share by
//! their weights. This is fair queueing in each node: a child has a `start` on its parent's virtual
//! `clock`; a turn moves it on by [`TURN`] divided by its weight, and the child whose turn would
//! end first is next.
//!
//! A peer decides how the tree looks. Whatever it does, an operation takes at most some multiple of
//! [`TREE_NODES`] steps through memory that lies together, up to 2 µs; the frames that ask for it
//! are limited as others without use.

use crate::h2::dependency::Dependency;
use crate::h2::limits::{TREE_NODES, UNUSED_TREE_NODES};
use crate::h2::stream::{NO_SLOT, Slot};

/// What a turn costs a stream of the weight 1 in virtual time.
const TURN: u64 = 1 << 20;

/// The place of a node.
type Place = u16;

const ROOT: Place = 0;

const NONE: Place = Place::MAX;

/// The number of a free place.
const FREE: u32 = u32::MAX;

/// A stream, or the root.
#[derive(Clone, Copy, Debug)]
struct Node {
    parent: Place,
    /// The first of those that depend on it.
    child: Place,
    /// The next one that depends on the same.
    sibling: Place,
    /// 1 to 256.
    weight: u16,
    /// The number of streams that wait in the part of the tree below, this one included.
    waiting: u16,
    /// Whether the stream is open: neither idle nor closed.
    is_open: bool,
    /// The place of the stream that waits; `NO_SLOT` if it does not.
    slot: Slot,
    /// Where its next turn starts on its parent's clock.
    start: u64,
    /// The virtual time of its children.
    clock: u64,
    /// When it was last mentioned.
    used: u64,
}

impl Node {
    const EMPTY: Self = Self {
        parent: ROOT,
        child: NONE,
        sibling: NONE,
        weight: Dependency::DEFAULT.weight,
        waiting: 0,
        is_open: false,
        slot: NO_SLOT,
        start: 0,
        clock: 0,
        used: 0,
    };
}

/// The tree.
///
/// Invariants: each node but the root is in the list of its parent's children, and reaches the root
/// by its parents; `waiting` is right; only open streams wait.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The streams of places; 0 for the root.
    ids: Vec<u32>,
    nodes: Vec<Node>,
    /// The number of nodes whose streams are not open, without the root.
    unused: usize,
    /// The number of changes so far.
    changes: u64,
}

impl Tree {
    pub(crate) fn new() -> Self {
        Self { ids: vec![0], nodes: vec![Node::EMPTY], unused: 0, changes: 0 }
    }

    fn find(&self, id: u32) -> Option<Place> {
        self.ids.iter().position(|&other| other == id).map(|place| place as Place)
    }

    fn at(&mut self, place: Place) -> &mut Node {
        &mut self.nodes[usize::from(place)]
    }

    fn get(&self, place: Place) -> &Node {
        &self.nodes[usize::from(place)]
    }

    /// Places the node of an open stream, which may have had one while it was idle. Without a
    /// priority it keeps its place, or has the default one.
    pub(crate) fn open(&mut self, id: u32, dependency: Option<Dependency>) {
        let Some(place) = self.find(id).or_else(|| self.add(id)) else { return };
        if !std::mem::replace(&mut self.at(place).is_open, true) {
            self.unused -= 1;
        }
        if let Some(dependency) = dependency {
            self.prioritize(place, dependency);
        }
    }

    /// Heeds a PRIORITY frame. `is_idle`: the stream was not opened yet, and has a node from now
    /// on.
    pub(crate) fn depend(&mut self, id: u32, is_idle: bool, dependency: Dependency) {
        let place = match self.find(id) {
            None if is_idle => self.add(id),
            found => found,
        };
        if let Some(place) = place {
            self.prioritize(place, dependency);
            self.limit_unused(UNUSED_TREE_NODES);
        }
    }

    /// Notes that a stream is no more. Its place is kept for a while, for those that depend on it.
    pub(crate) fn close(&mut self, id: u32) {
        let Some(place) = self.find(id) else { return };
        debug_assert!(self.get(place).slot == NO_SLOT);
        if std::mem::replace(&mut self.at(place).is_open, false) {
            self.unused += 1;
            self.mention(place);
            self.limit_unused(UNUSED_TREE_NODES);
        }
    }

    /// Makes a node, by default one of the root's children. None if all places are taken.
    fn add(&mut self, id: u32) -> Option<Place> {
        if self.ids.len() == TREE_NODES {
            self.limit_unused(UNUSED_TREE_NODES.min(self.unused.saturating_sub(1)));
        }
        let place = match self.find(FREE) {
            Some(place) => place,
            None if self.ids.len() < TREE_NODES => {
                self.ids.push(FREE);
                self.nodes.push(Node::EMPTY);
                (self.ids.len() - 1) as Place
            }
            None => return None,
        };
        self.ids[usize::from(place)] = id;
        *self.at(place) = Node::EMPTY;
        self.unused += 1;
        self.mention(place);
        self.attach(place, ROOT);
        Some(place)
    }

    fn mention(&mut self, place: Place) {
        self.changes += 1;
        self.at(place).used = self.changes;
    }

    /// Moves a node to where it belongs (section 5.3.3).
    fn prioritize(&mut self, place: Place, dependency: Dependency) {
        // On a stream that has no place: the default priority (section 5.3.1).
        let found = self.find(dependency.on).map(|parent| (parent, dependency));
        let (parent, dependency) = found.unwrap_or((ROOT, Dependency::DEFAULT));
        if parent == place {
            return;
        }
        self.mention(place);
        if parent != ROOT {
            self.mention(parent);
        }
        if self.is_below(parent, place) {
            let above = self.get(place).parent;
            self.detach(parent);
            self.attach(parent, above);
        }
        self.detach(place);
        self.at(place).weight = dependency.weight;
        self.attach(place, parent);
        while dependency.exclusive && self.get(place).sibling != NONE {
            // It is the first of its parent's children.
            let child = self.get(place).sibling;
            self.detach(child);
            self.attach(child, place);
        }
    }

    /// Whether a node depends on another one, if only by others.
    fn is_below(&self, mut place: Place, above: Place) -> bool {
        while place != ROOT {
            place = self.get(place).parent;
            if place == above {
                return true;
            }
        }
        false
    }

    fn attach(&mut self, place: Place, parent: Place) {
        let (first, clock) = (self.get(parent).child, self.get(parent).clock);
        let node = self.at(place);
        (node.parent, node.sibling, node.start) = (parent, first, clock);
        let waiting = node.waiting;
        self.at(parent).child = place;
        self.count(parent, waiting);
    }

    fn detach(&mut self, place: Place) {
        let Node { parent, sibling, waiting, .. } = *self.get(place);
        let mut at = self.get(parent).child;
        if at == place {
            self.at(parent).child = sibling;
        } else {
            while self.get(at).sibling != place {
                at = self.get(at).sibling;
            }
            self.at(at).sibling = sibling;
        }
        self.discount(parent, waiting);
    }

    /// Adds streams that wait to a node and those above it.
    fn count(&mut self, mut place: Place, waiting: u16) {
        if waiting == 0 {
            return;
        }
        loop {
            let parent = self.get(place).parent;
            let clock = self.get(parent).clock;
            let node = self.at(place);
            if node.waiting == 0 {
                // Who comes back has not saved up turns.
                node.start = node.start.max(clock);
            }
            node.waiting += waiting;
            if place == ROOT {
                return;
            }
            place = parent;
        }
    }

    fn discount(&mut self, mut place: Place, waiting: u16) {
        loop {
            self.at(place).waiting -= waiting;
            if place == ROOT {
                return;
            }
            place = self.get(place).parent;
        }
    }

    /// Removes nodes of streams that are not open until there are at most so many: first those on
    /// which none depends, and of these the ones that were not mentioned for the longest time.
    fn limit_unused(&mut self, most: usize) {
        while self.unused > most {
            let places = 1..self.ids.len() as Place;
            let unused = places
                .filter(|&place| self.ids[usize::from(place)] != FREE && !self.get(place).is_open);
            let oldest =
                unused.min_by_key(|&place| (self.get(place).child != NONE, self.get(place).used));
            let Some(place) = oldest else { return };
            self.remove(place);
        }
    }

    /// Removes a node. Those that depended on it share its weight (section 5.3.4).
    fn remove(&mut self, place: Place) {
        let Node { parent, weight, .. } = *self.get(place);
        let sum: u32 = self.children(place).map(|child| u32::from(self.get(child).weight)).sum();
        while self.get(place).child != NONE {
            let child = self.get(place).child;
            self.detach(child);
            let share = u32::from(self.get(child).weight) * u32::from(weight) / sum.max(1);
            self.at(child).weight = share.max(1) as u16;
            self.attach(child, parent);
        }
        self.detach(place);
        self.ids[usize::from(place)] = FREE;
        self.unused -= 1;
    }

    fn children(&self, place: Place) -> impl Iterator<Item = Place> {
        let first = Some(self.get(place).child);
        std::iter::successors(first, |&at| (at != NONE).then(|| self.get(at).sibling))
            .take_while(|&at| at != NONE)
    }
}

/// Streams that wait.
impl Tree {
    /// Whether none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.get(ROOT).waiting == 0
    }

    /// Notes that a stream waits. False if it has no node.
    pub(crate) fn push(&mut self, id: u32, slot: Slot) -> bool {
        let Some(place) = self.find(id) else { return false };
        debug_assert!(self.get(place).slot == NO_SLOT && slot != NO_SLOT);
        self.at(place).slot = slot;
        self.count(place, 1);
        true
    }

    /// Notes that a stream waits no more. False if it did not.
    pub(crate) fn remove_waiting(&mut self, id: u32) -> bool {
        let Some(place) = self.find(id) else { return false };
        if self.get(place).slot == NO_SLOT {
            return false;
        }
        self.at(place).slot = NO_SLOT;
        self.discount(place, 1);
        true
    }

    /// Whether a stream waits that does not depend on this one.
    pub(crate) fn is_before(&self, id: u32) -> bool {
        let below = self.find(id).map_or(0, |place| self.get(place).waiting);
        self.get(ROOT).waiting > below
    }

    /// Takes the stream that is to send first.
    pub(crate) fn pop(&mut self) -> Option<Slot> {
        let mut place = ROOT;
        while self.get(place).slot == NO_SLOT {
            place = self.next_child(place)?;
        }
        let slot = std::mem::replace(&mut self.at(place).slot, NO_SLOT);
        self.discount(place, 1);
        Some(slot)
    }

    /// The child whose turn it is. Moves the clock on.
    fn next_child(&mut self, parent: Place) -> Option<Place> {
        let (mut sum, mut first) = (0, None);
        let mut at = self.get(parent).child;
        while at != NONE {
            let node = self.get(at);
            if node.waiting > 0 {
                let weight = u64::from(node.weight);
                sum += weight;
                let end = (node.start + TURN / weight, self.ids[usize::from(at)], at);
                first = Some(first.map_or(end, |other| end.min(other)));
            }
            at = node.sibling;
        }
        let (end, _, child) = first?;
        self.at(child).start = end;
        self.at(parent).clock += TURN / sum;
        Some(child)
    }

    /// Takes all that wait, in no order.
    pub(crate) fn into_waiting(self) -> impl Iterator<Item = Slot> {
        self.nodes.into_iter().map(|node| node.slot).filter(|&slot| slot != NO_SLOT)
    }
}

#[cfg(test)]
mod tests;
