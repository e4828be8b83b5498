//! A node: its mirror, its disk and its clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weir_ha::mirror::{Durable, Mirror, Name, Version};

use crate::plan::Millis;

/// The names of nodes.
pub(crate) const NAMES: [&str; 3] = ["a", "b", "c"];

/// How long a ticket key encrypts.
const TICKETS: Duration = Duration::from_secs(60);

pub(crate) fn name(node: usize) -> Name {
    Name::new(NAMES[node]).unwrap()
}

pub(crate) fn place(name: &Name) -> usize {
    NAMES.iter().position(|known| *known == name.as_str()).unwrap()
}

/// What is durable: a state and its set.
#[derive(Clone, Default)]
pub(crate) struct Disk(pub(crate) Option<(Vec<u8>, Arc<[u8]>)>);

impl Disk {
    pub(crate) fn version(&self) -> Option<Version> {
        let (state, _) = self.0.as_ref()?;
        Some(Durable::decode(state).unwrap().version().clone())
    }
}

pub(crate) struct Node {
    /// The mirror, while the node is up.
    pub(crate) mirror: Option<Mirror>,
    /// Counts its lives.
    pub(crate) life: u32,
    pub(crate) disk: Disk,
    /// Earlier disks, for restores.
    pub(crate) backups: Vec<Disk>,
    /// The clock's lead over the world's, in milliseconds.
    lead: i64,
    /// The time until which the disk is busy.
    pub(crate) busy: Millis,
    pub(crate) broken_until: Millis,
    pub(crate) check: Millis,
    /// Its connections by key, and its requests.
    pub(crate) levels: BTreeMap<u8, u32>,
    /// The levels of others, as this node was told.
    pub(crate) told: BTreeMap<(usize, Vec<u8>), u32>,
    /// The keys of session tickets, and the one that encrypts.
    pub(crate) tickets: Option<(usize, Vec<[u8; 80]>)>,
    /// The health that it told last.
    pub(crate) health: Option<Vec<u8>>,
    /// Its records as the effects told them, and its own changes.
    pub(crate) seen: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Node {
    pub(crate) fn new(node: usize, nodes: usize) -> Self {
        let mut new = Self {
            mirror: None,
            life: 0,
            disk: Disk::default(),
            backups: Vec::new(),
            lead: 1_000_000,
            busy: 0,
            broken_until: 0,
            check: 20,
            levels: BTreeMap::new(),
            told: BTreeMap::new(),
            tickets: None,
            health: None,
            seen: BTreeMap::new(),
        };
        new.start(node, nodes);
        new
    }

    pub(crate) fn start(&mut self, node: usize, nodes: usize) {
        let restored = self.disk.0.as_ref().map(|(state, bytes)| {
            let state = Durable::decode(state).expect("a durable state is whole");
            (state, Arc::clone(bytes))
        });
        self.life += 1;
        let members = (0..nodes).map(name);
        self.mirror = Some(Mirror::new(name(node), members, restored, Some(TICKETS)));
    }

    pub(crate) fn stop(&mut self) {
        self.mirror = None;
        self.life += 1;
        self.levels.clear();
        self.told.clear();
        self.tickets = None;
        self.health = None;
        self.seen.clear();
    }

    pub(crate) fn is_up(&self) -> bool {
        self.mirror.is_some()
    }

    /// The node's clock at a time of the world.
    pub(crate) fn clock(&self, now: Millis) -> Duration {
        Duration::from_millis(now.saturating_add_signed(self.lead))
    }

    pub(crate) fn jump(&mut self, by: i64) {
        self.lead = (self.lead + by).max(0);
    }
}
