use super::*;
use crate::h2::priority::Priority;
use crate::h2::window::{ReceiveWindow, SendWindow};

struct World {
    streams: Streams,
    order: Order,
}

impl World {
    fn new(ids: impl IntoIterator<Item = u32>) -> Self {
        let mut world = Self { streams: Streams::new(), order: Order::new() };
        ids.into_iter().for_each(|id| world.open(id, None));
        world
    }

    fn open(&mut self, id: u32, said: Option<Dependency>) {
        let stream = Stream::new(id, SendWindow::new(0), ReceiveWindow::new(0, 0), 0);
        self.streams.insert(stream);
        self.order.open(&mut self.streams, id, said);
    }

    fn wait(&mut self, ids: impl IntoIterator<Item = u32>) {
        for id in ids {
            let slot = self.streams.find(id).unwrap();
            self.order.push(&mut self.streams, slot);
        }
    }

    fn depend(&mut self, id: u32, on: u32, weight: u16) {
        let idle = self.streams.find(id).is_none();
        let dependency = Dependency { on, exclusive: false, weight };
        self.order.depend(&mut self.streams, id, idle, dependency);
    }

    fn pop_all(&mut self) -> Vec<u32> {
        let popped = std::iter::from_fn(|| self.order.pop(&mut self.streams));
        let slots: Vec<Slot> = popped.collect();
        slots.into_iter().map(|slot| self.streams[slot].id).collect()
    }
}

#[test]
fn a_tree_takes_over_those_that_wait() {
    let mut world = World::new([1, 3, 5]);
    world.wait([1, 3, 5]);
    world.depend(5, 0, 256);
    world.depend(3, 1, 256);
    assert!(world.order.tree.is_some() && !world.order.is_empty());
    let slot = world.streams.find(1).unwrap();
    assert!(world.order.is_before(&world.streams[slot]));
    assert_eq!(world.pop_all(), [5, 1, 3]);
    assert!(world.order.is_empty() && !world.order.is_before(&world.streams[slot]));
    assert!(world.streams.iter().all(|(_, stream)| stream.wait == Wait::No));
}

#[test]
fn urgencies_win_for_good() {
    let mut world = World::new([1, 3]);
    world.depend(1, 3, 16);
    world.wait([1, 3]);
    let slot = world.streams.find(3).unwrap();
    world.order.remove(&mut world.streams, slot);
    world.streams[slot].priority = Priority::parse(b"u=5");
    world.wait([3]);
    world.order.use_urgencies(&mut world.streams);
    assert!(world.order.tree.is_none());
    assert_eq!(world.pop_all(), [1, 3]);
    world.depend(1, 3, 16);
    world.open(5, Some(Dependency { on: 3, exclusive: true, weight: 1 }));
    assert!(world.order.tree.is_none());
}

#[test]
fn defaults_need_no_tree() {
    let mut world = World::new([]);
    world.open(1, Some(Dependency::DEFAULT));
    assert!(world.order.tree.is_none());
    world.open(3, Some(Dependency { weight: 17, ..Dependency::DEFAULT }));
    assert!(world.order.tree.is_some());
}

/// More streams than there are nodes: all have their turn, and may leave.
#[test]
fn streams_beyond_the_tree() {
    let mut world = World::new((0..400).map(|at| 2 * at + 1));
    world.depend(1, 0, 1);
    world.wait((0..400).map(|at| 2 * at + 1));
    for at in (0..400).step_by(3) {
        let slot = world.streams.find(2 * at + 1).unwrap();
        world.order.remove(&mut world.streams, slot);
        world.order.remove(&mut world.streams, slot);
        world.streams.remove(slot);
        world.order.close(2 * at + 1);
    }
    assert_eq!(world.pop_all().len(), 400 - 134);
    assert!(world.order.is_empty());
}
