//! The order in which streams send that wait for room.
//!
//! By RFC 9218, in which a stream has an urgency ([`queue`]); by RFC 7540, in which it depends on
//! another one ([`tree`]), for clients that have said so and use nothing of RFC 9218.

mod queue;
mod tree;

use super::dependency::Dependency;
use super::stream::{Slot, Stream, Wait};
use super::streams::Streams;
use queue::Queue;
use tree::Tree;

/// The streams that wait.
///
/// Invariant: it has exactly the streams with [`Wait::Queue`], each in the tree if it was pushed
/// while it had a node there, else in the queue.
#[derive(Debug)]
pub(crate) struct Order {
    queue: Queue,
    /// Once the client has said what a stream depends on.
    tree: Option<Box<Tree>>,
    /// Whether the client has used RFC 9218.
    has_urgencies: bool,
}

impl Order {
    pub(crate) fn new() -> Self {
        Self { queue: Queue::new(), tree: None, has_urgencies: false }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.tree.as_ref().is_none_or(|tree| tree.is_empty())
    }

    /// Whether a stream waits that is not to be served after this one.
    #[inline]
    pub(crate) fn is_before(&self, stream: &Stream) -> bool {
        match &self.tree {
            None => self.queue.is_before(stream.priority),
            Some(tree) => tree.is_before(stream.id) || self.queue.is_before(stream.priority),
        }
    }

    /// Whether a stream waits that is to have turns while this one, which was first, has them.
    pub(crate) fn shares(&self, stream: &Stream) -> bool {
        match &self.tree {
            None if stream.priority.incremental => self.queue.is_before(stream.priority),
            None => false,
            Some(_) => self.is_before(stream),
        }
    }

    /// Adds a stream that is not in it.
    pub(crate) fn push(&mut self, streams: &mut Streams, slot: Slot) {
        if let Some(tree) = &mut self.tree
            && tree.push(streams[slot].id, slot)
        {
            streams[slot].wait = Wait::Queue;
        } else {
            self.queue.push(streams, slot);
        }
    }

    /// Removes a stream if it is in it.
    pub(crate) fn remove(&mut self, streams: &mut Streams, slot: Slot) {
        if let Some(tree) = &mut self.tree
            && tree.remove_waiting(streams[slot].id)
        {
            streams[slot].wait = Wait::No;
        } else {
            self.queue.remove(streams, slot);
        }
    }

    /// Takes the stream that is to send first.
    pub(crate) fn pop(&mut self, streams: &mut Streams) -> Option<Slot> {
        match self.tree.as_mut().and_then(|tree| tree.pop()) {
            Some(slot) => {
                streams[slot].wait = Wait::No;
                Some(slot)
            }
            None => self.queue.pop(streams),
        }
    }
}

/// What clients say about dependencies.
impl Order {
    /// Notes a stream that the client has opened.
    #[inline]
    pub(crate) fn open(&mut self, streams: &mut Streams, id: u32, said: Option<Dependency>) {
        if self.tree.is_some() || said.is_some() {
            self.open_in_tree(streams, id, said);
        }
    }

    #[cold]
    fn open_in_tree(&mut self, streams: &mut Streams, id: u32, said: Option<Dependency>) {
        // What is so without a tree needs none.
        if self.tree.is_none() && said == Some(Dependency::DEFAULT) {
            return;
        }
        if let Some(tree) = self.planted(streams) {
            tree.open(id, said);
        }
    }

    /// Heeds a PRIORITY frame for a stream, which is `idle` or has been opened.
    pub(crate) fn depend(&mut self, streams: &mut Streams, id: u32, idle: bool, on: Dependency) {
        if let Some(tree) = self.planted(streams) {
            tree.depend(id, idle, on);
        }
    }

    /// Notes that a stream is no more.
    #[inline]
    pub(crate) fn close(&mut self, id: u32) {
        if let Some(tree) = &mut self.tree {
            tree.close(id);
        }
    }

    /// Goes over to RFC 9218 for good: the client uses it.
    pub(crate) fn use_urgencies(&mut self, streams: &mut Streams) {
        self.has_urgencies = true;
        if let Some(tree) = self.tree.take() {
            for slot in tree.into_waiting() {
                streams[slot].wait = Wait::No;
                self.queue.push(streams, slot);
            }
        }
    }

    /// The tree, with the streams that are there; None if the client uses RFC 9218.
    fn planted(&mut self, streams: &mut Streams) -> Option<&mut Tree> {
        if self.has_urgencies {
            return None;
        }
        if self.tree.is_none() {
            let mut tree = Box::new(Tree::new());
            let ids: Vec<u32> = streams.iter().map(|(_, stream)| stream.id).collect();
            ids.into_iter().for_each(|id| tree.open(id, None));
            let waiting: Vec<Slot> = std::iter::from_fn(|| self.queue.pop(streams)).collect();
            self.tree = Some(tree);
            waiting.into_iter().for_each(|slot| self.push(streams, slot));
        }
        self.tree.as_deref_mut()
    }
}

#[cfg(test)]
mod tests;
