//! Servers that nodes have in common: the owner of their records. Edits of other nodes come one by
//! one, and are made in batches beside the loop, since a large ring, or a file, takes long.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use weir_engine::event_loop::{on_a_thread, spawn};

use crate::{
    edited::Edited,
    group::Group,
    registry::Registry,
    shared_records::{self, Owner, Theme},
};

/// The owner of the records of groups.
#[derive(Debug, Default)]
struct Servers {
    registry: Arc<Registry>,
    waiting: Mutex<Waiting>,
    /// Held while a batch is made part of the groups.
    merging: Mutex<()>,
}

/// Records that have come and are not part of the groups yet.
#[derive(Debug, Default)]
struct Waiting {
    by_key: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Whether a task will see to them.
    is_expected: bool,
}

static SERVERS: OnceLock<Servers> = OnceLock::new();

/// Begins to take over the servers of other nodes.
pub fn begin(registry: &Arc<Registry>) {
    let servers =
        SERVERS.get_or_init(|| Servers { registry: Arc::clone(registry), ..Servers::default() });
    shared_records::set_owner(Theme::Servers, servers);
}

impl Servers {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group that a key is about, with the hash of its lines and the place of a server.
    fn parts(key: &[u8]) -> Option<(&str, &str, &str)> {
        let (group, rest) = std::str::from_utf8(key).ok()?.split_once('\0')?;
        let (hash, place) = rest.split_once('\0')?;
        Some((group, hash, place))
    }

    fn group(&self, key: &str) -> Option<Arc<Group>> {
        self.registry.of_key(key).pop().filter(|group| group.zone().is_some())
    }

    /// Makes what has come part of the groups.
    fn merge(&self) {
        let _one_at_a_time = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = mem::take(&mut self.waiting().by_key);
        let mut by_group: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (key, value) in &waiting {
            if let Some((group, hash, place)) = Self::parts(key) {
                by_group.entry((group, hash)).or_default().push((place, value.as_deref()));
            }
        }
        for ((key, hash), records) in by_group {
            // A group that this node does not have (yet), or not with these lines, is no fault:
            // nodes get a new configuration one after the other.
            let group = self.group(key).filter(|group| group.lines_hash() == hash);
            let Some(group) = group else { continue };
            group.take_over_records(&records);
        }
    }
}

impl Owner for Servers {
    fn all(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.merge();
        let mut keys: Vec<String> =
            self.registry.groups().iter().map(|group| group.config.key.clone()).collect();
        keys.sort();
        keys.dedup();
        keys.iter().filter_map(|key| self.group(key)).flat_map(|group| group.shared()).collect()
    }

    /// Records of a group that is not there any more would come back with it. Those for other lines
    /// are of nodes that have not changed theirs yet, and go when these do.
    fn keeps(&self, key: &[u8]) -> bool {
        let Some((group, hash, _)) = Self::parts(key) else { return true };
        self.group(group).is_none_or(|group| group.lines_hash() == hash)
    }

    fn apply(&self, key: &[u8], value: Option<&[u8]>) {
        let mut waiting = self.waiting();
        waiting.by_key.insert(key.to_vec(), value.map(<[u8]>::to_vec));
        if mem::replace(&mut waiting.is_expected, true) {
            return;
        }
        drop(waiting);
        spawn(async {
            let Some(servers) = SERVERS.get() else { return };
            while servers.goes_on() {
                // Without a thread, they are merged here.
                if on_a_thread(|| servers.merge()).await.is_err() {
                    servers.merge();
                }
            }
        });
    }
}

impl Servers {
    /// Whether there is something to be merged. Otherwise the task ends.
    fn goes_on(&self) -> bool {
        let mut waiting = self.waiting();
        waiting.is_expected = !waiting.by_key.is_empty();
        waiting.is_expected
    }
}

impl Group {
    /// Takes over records by the places of servers. `None` is a removed record.
    fn take_over_records(&self, records: &[(&str, Option<&[u8]>)]) {
        let side = self.config.side();
        let mut news = Vec::with_capacity(records.len());
        let mut broken = 0;
        for (place, value) in records {
            let edited = value.map(|value| Edited::read_record(value, side));
            match edited {
                Some(None) => broken += 1,
                Some(edited) => news.push(((*place).to_owned(), edited)),
                None => news.push(((*place).to_owned(), None)),
            }
        }
        self.take_over(news, broken);
    }
}
