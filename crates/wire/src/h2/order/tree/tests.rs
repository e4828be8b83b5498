use std::collections::BTreeMap;

use super::*;

fn on(on: u32, weight: u16) -> Dependency {
    Dependency { on, exclusive: false, weight }
}

fn exclusive(on: u32) -> Dependency {
    Dependency { on, exclusive: true, weight: 16 }
}

/// A tree of open streams.
fn tree(streams: &[(u32, Dependency)]) -> Tree {
    let mut tree = Tree::new();
    for &(id, dependency) in streams {
        tree.open(id, Some(dependency));
        check(&tree);
    }
    tree
}

impl Tree {
    /// The parent and the weight of a stream.
    fn place_of(&self, id: u32) -> Option<(u32, u16)> {
        let node = self.get(self.find(id)?);
        Some((self.ids[usize::from(node.parent)], node.weight))
    }

    /// Has these wait, and says in which order they come. The slot is the number.
    fn order(&mut self, waiting: &[u32]) -> Vec<u32> {
        for &id in waiting {
            assert!(self.push(id, id));
        }
        std::iter::from_fn(|| self.pop()).collect()
    }

    /// The shares of turns of streams that always wait, of so many turns.
    fn shares(&mut self, streams: &[u32], turns: usize) -> Vec<usize> {
        streams.iter().for_each(|&id| assert!(self.push(id, id)));
        let mut shares = vec![0; streams.len()];
        for _ in 0..turns {
            let id = self.pop().unwrap();
            shares[streams.iter().position(|&other| other == id).unwrap()] += 1;
            assert!(self.push(id, id));
        }
        streams.iter().for_each(|&id| assert!(self.remove_waiting(id)));
        shares
    }
}

/// Checks all invariants.
fn check(tree: &Tree) {
    assert!(tree.ids.len() <= TREE_NODES && tree.ids.len() == tree.nodes.len());
    assert_eq!(tree.ids[0], 0);
    let places = (0..tree.ids.len() as Place).filter(|&at| tree.ids[usize::from(at)] != FREE);
    let places: Vec<Place> = places.collect();
    let mut unused = 0;
    for &place in &places {
        let node = tree.get(place);
        let children: Vec<Place> = tree.children(place).collect();
        let below: u16 = children.iter().map(|&child| tree.get(child).waiting).sum();
        assert_eq!(node.waiting, below + u16::from(node.slot != NO_SLOT));
        assert!(children.iter().all(|&child| tree.get(child).parent == place));
        assert!((1..=256).contains(&node.weight));
        if place != ROOT {
            assert!(tree.is_below(place, ROOT));
            assert!(tree.children(node.parent).any(|child| child == place));
            assert!(node.is_open || node.slot == NO_SLOT);
            unused += usize::from(!node.is_open);
        }
    }
    assert_eq!(tree.unused, unused);
    assert!(unused <= UNUSED_TREE_NODES);
}

#[test]
fn a_stream_comes_before_those_that_depend_on_it() {
    let mut tree = tree(&[(1, on(0, 1)), (3, on(1, 256)), (5, on(3, 256)), (7, on(0, 256))]);
    assert_eq!(tree.order(&[5, 3, 1]), [1, 3, 5]);
    // Those that do not wait are passed over.
    assert_eq!(tree.order(&[5, 7]), [7, 5]);
    assert!(tree.is_empty() && !tree.is_before(1));
    assert!(tree.push(5, 5));
    assert!(!tree.is_before(1) && !tree.is_before(3) && tree.is_before(7) && tree.is_before(9));
}

#[test]
fn the_same_parent_is_shared_by_weight() {
    let mut tree = tree(&[(1, on(0, 201)), (3, on(0, 101)), (5, on(0, 1)), (7, on(1, 1))]);
    assert_eq!(tree.order(&[5, 3, 1]), [1, 3, 5]);
    let shares = tree.shares(&[1, 3, 5], 3030);
    assert!((1990..=2030).contains(&shares[0]), "{shares:?}");
    assert!((990..=1030).contains(&shares[1]), "{shares:?}");
    assert!((9..=11).contains(&shares[2]), "{shares:?}");
    // Who depends on the heavy one has its share, and no more.
    let shares = tree.shares(&[7, 3, 5], 3030);
    assert!((1990..=2030).contains(&shares[0]), "{shares:?}");
    // Equal ones take turns.
    for id in [1, 3, 5] {
        tree.depend(id, false, on(0, 16));
    }
    assert_eq!(tree.order(&[5, 3, 1]), [1, 3, 5]);
    assert_eq!(tree.shares(&[1, 3, 5], 300), [100, 100, 100]);
}

/// Heavy streams that each come for one turn do not keep a light one from its share.
#[test]
fn nobody_starves() {
    let mut tree = tree(&[(1, on(0, 1))]);
    assert!(tree.push(1, 1));
    let mut turns = 0;
    for id in (3..).step_by(2) {
        tree.open(id, Some(on(0, 256)));
        assert!(tree.push(id, id));
        let first = tree.pop().unwrap();
        if first == 1 {
            break;
        }
        assert_eq!(first, id);
        tree.close(id);
        turns += 1;
    }
    assert!((200..=300).contains(&turns), "{turns}");
}

/// Who was away does not come back with all the turns that it has not had.
#[test]
fn absence_saves_no_turns() {
    let mut tree = tree(&[(1, on(0, 16)), (3, on(0, 16))]);
    assert!(tree.push(1, 1));
    for _ in 0..1000 {
        assert_eq!(tree.pop(), Some(1));
        assert!(tree.push(1, 1));
    }
    assert!(tree.remove_waiting(1) && !tree.remove_waiting(1));
    assert_eq!(tree.shares(&[1, 3], 10), [5, 5]);
}

/// The figures of RFC 7540, sections 5.3.1 and 5.3.3.
#[test]
fn nodes_move() {
    let mut tree = tree(&[(1, on(0, 16)), (3, on(1, 20)), (5, on(1, 30)), (7, exclusive(1))]);
    assert_eq!(tree.place_of(7), Some((1, 16)));
    assert_eq!((tree.place_of(3), tree.place_of(5)), (Some((7, 20)), Some((7, 30))));
    // Below one of those that depend on it: that one takes its place.
    tree.depend(1, false, on(5, 40));
    assert_eq!((tree.place_of(5), tree.place_of(1)), (Some((0, 30)), Some((5, 40))));
    tree.depend(7, false, exclusive(3));
    assert_eq!((tree.place_of(3), tree.place_of(7)), (Some((1, 20)), Some((3, 16))));
    check(&tree);
    // With what waits below.
    assert!(tree.push(7, 7) && tree.push(5, 5));
    tree.depend(3, false, exclusive(0));
    check(&tree);
    assert_eq!((tree.place_of(5), tree.place_of(3)), (Some((3, 30)), Some((0, 16))));
    assert_eq!((tree.pop(), tree.pop(), tree.pop()), (Some(5), Some(7), None));
}

#[test]
fn an_unknown_parent_means_the_default() {
    let mut tree = tree(&[(1, on(99, 200))]);
    assert_eq!(tree.place_of(1), Some((0, 16)));
    tree.depend(3, true, on(1, 7));
    assert_eq!(tree.place_of(3), Some((1, 7)));
    tree.open(3, None);
    assert_eq!(tree.place_of(3), Some((1, 7)), "an idle one keeps its place");
    tree.depend(5, false, on(1, 7));
    assert_eq!(tree.place_of(5), None, "it is closed, and nobody knows it");
    check(&tree);
}

#[test]
fn the_closed_are_kept_for_a_while() {
    let group = 1_000_001;
    let mut tree = Tree::new();
    tree.depend(group, true, on(0, 100));
    for id in (1..1001).step_by(2) {
        tree.open(id, Some(on(group, 10)));
        tree.close(id);
        check(&tree);
        assert_eq!(tree.place_of(id), Some((group, 10)));
    }
    assert_eq!(tree.unused, UNUSED_TREE_NODES);
    assert_eq!(tree.place_of(group), Some((0, 100)), "others depend on it");
    assert_eq!(tree.place_of(1), None);
}

#[test]
fn a_removed_parent_leaves_its_weight() {
    let mut tree = tree(&[(1, on(0, 30)), (3, on(1, 10)), (5, on(1, 20)), (7, on(5, 1))]);
    tree.close(1);
    tree.limit_unused(0);
    check(&tree);
    assert_eq!(tree.place_of(1), None);
    assert_eq!((tree.place_of(3), tree.place_of(5)), (Some((0, 10)), Some((0, 20))));
    assert_eq!(tree.place_of(7), Some((5, 1)));
}

#[test]
fn there_are_places_for_so_many() {
    let mut tree = Tree::new();
    for id in 1..=2 * TREE_NODES as u32 {
        tree.open(id, Some(on(id - 1, 16)));
    }
    check(&tree);
    assert_eq!(tree.ids.len(), TREE_NODES);
    assert!(!tree.push(2 * TREE_NODES as u32, 0));
    // The longest chain there is, from its end.
    let waiting: Vec<u32> = (1..TREE_NODES as u32).rev().collect();
    let order = tree.order(&waiting);
    assert!(order.is_sorted() && order.len() == TREE_NODES - 1);
    tree.close(7);
    tree.open(100_000, None);
    assert_eq!(tree.place_of(100_000), Some((0, 16)));
    assert_eq!(tree.place_of(7), None);
    check(&tree);
}

/// The rules for moves, as they are written.
#[derive(Default)]
struct Model {
    /// The parent and the weight.
    nodes: BTreeMap<u32, (u32, u16)>,
}

impl Model {
    fn depends(&self, id: u32, on: u32) -> bool {
        let above = |id: &u32| self.nodes.get(id).map(|(parent, _)| *parent);
        std::iter::successors(Some(id), above).skip(1).any(|above| above == on)
    }

    fn depend(&mut self, id: u32, dependency: Dependency) {
        let Dependency { on, exclusive, weight } = dependency;
        let old = self.nodes.entry(id).or_insert((0, 16)).0;
        if on != 0 && !self.nodes.contains_key(&on) {
            self.nodes.insert(id, (0, 16));
            return;
        }
        if self.depends(on, id) {
            self.nodes.get_mut(&on).unwrap().0 = old;
        }
        if exclusive {
            for (other, (parent, _)) in &mut self.nodes {
                if *parent == on && *other != id {
                    *parent = id;
                }
            }
        }
        self.nodes.insert(id, (on, weight));
    }
}

fn random(state: &mut u32, below: u32) -> u32 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    (*state >> 8) % below
}

#[test]
fn it_agrees_with_the_rules() {
    for seed in 0..50 {
        let (mut state, mut tree, mut model) = (seed, Tree::new(), Model::default());
        for _ in 0..200 {
            let (id, on) = (1 + random(&mut state, 20), random(&mut state, 22));
            let weight = 1 + random(&mut state, 256) as u16;
            let dependency = Dependency { on, exclusive: random(&mut state, 3) == 0, weight };
            if id != on {
                tree.depend(id, true, dependency);
                model.depend(id, dependency);
            }
            check(&tree);
        }
        for (id, place) in &model.nodes {
            assert_eq!(tree.place_of(*id), Some(*place), "stream {id}, seed {seed}");
        }
    }
}

/// Whatever comes, in any order.
#[test]
fn it_stands_anything() {
    for seed in 0..20 {
        let (mut state, mut tree) = (seed, Tree::new());
        let mut open: BTreeMap<u32, bool> = BTreeMap::new();
        for step in 0..1500 {
            let (id, on) = (1 + random(&mut state, 600), random(&mut state, 600));
            let weight = 1 + random(&mut state, 256) as u16;
            let dependency = Dependency { on, exclusive: random(&mut state, 2) == 0, weight };
            let waits = open.get(&id).copied();
            match random(&mut state, 6) {
                0 | 1 if id != on => tree.depend(id, waits.is_none(), dependency),
                2 if waits.is_none() && id != on => {
                    tree.open(id, Some(dependency).filter(|_| weight.is_multiple_of(2)));
                    open.insert(id, false);
                }
                3 if waits == Some(false) => {
                    let waits = tree.push(id, id);
                    open.insert(id, waits);
                }
                4 if waits.is_some() => {
                    assert_eq!(Some(tree.remove_waiting(id)), waits);
                    tree.close(id);
                    open.remove(&id);
                }
                5 => {
                    let popped = tree.pop();
                    assert_eq!(popped.is_some(), open.values().any(|waits| *waits));
                    if let Some(id) = popped {
                        assert_eq!(open.insert(id, false), Some(true));
                    }
                }
                _ => {}
            }
            if step % 50 == 0 {
                check(&tree);
            }
        }
    }
}
