//! Who holds the address at every moment.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::*;

/// The time between two looks.
const STEP: Duration = Duration::from_millis(15);

/// The times from which a node held the address, and from which it did not.
type Changes = Arc<Mutex<Vec<(Instant, bool)>>>;

/// A watch on the addresses of all nodes.
pub(super) struct Watch {
    nodes: Vec<Changes>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Watch {
    pub(super) fn start(network: &Network, nodes: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let changes: Vec<Changes> = (0..nodes).map(|_| Changes::default()).collect();
        let threads = changes.iter().enumerate().map(|(index, changes)| {
            let path = Path::new("/var/run/netns").join(network.node(index + 1));
            let namespace = File::open(path).unwrap();
            let (changes, stop) = (Arc::clone(changes), Arc::clone(&stop));
            std::thread::spawn(move || watch(&namespace, &changes, &stop))
        });
        let threads = threads.collect();
        Self { nodes: changes, stop, threads }
    }

    /// The number of nodes that hold the address now.
    pub(super) fn holders(&self) -> usize {
        let holds = |changes: &&Changes| changes.lock().unwrap().last().is_some_and(|last| last.1);
        self.nodes.iter().filter(holds).count()
    }

    /// The times in which at least two nodes held it.
    pub(super) fn both(&self) -> Vec<(Instant, Instant)> {
        let mut all: Vec<(Instant, bool)> = Vec::new();
        self.nodes.iter().for_each(|changes| all.extend(changes.lock().unwrap().iter()));
        all.sort();
        let (mut holders, mut since, mut both) = (0, None, Vec::new());
        for (at, holds) in all {
            holders = if holds { holders + 1 } else { holders - 1 };
            match (holders >= 2, since) {
                (true, None) => since = Some(at),
                (false, Some(start)) => {
                    both.push((start, at));
                    since = None;
                }
                _ => {}
            }
        }
        both.extend(since.map(|start| (start, Instant::now())));
        both
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn watch(namespace: &File, changes: &Changes, stop: &AtomicBool) {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    let wanted = format!("|-- {ADDRESS}\n");
    let mut held = false;
    while !stop.load(Relaxed) {
        let table = std::fs::read_to_string("/proc/thread-self/net/fib_trie").unwrap_or_default();
        let holds = table.contains(&wanted);
        if holds != held {
            changes.lock().unwrap().push((Instant::now(), holds));
            held = holds;
        }
        std::thread::park_timeout(STEP);
    }
}
