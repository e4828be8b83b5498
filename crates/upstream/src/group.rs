//! Groups of peers: an `upstream` block, or the address in a `proxy_pass`.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::sync::Notify;
use weir_engine::Addr;

use crate::{
    balance::method::{Method, Request, Walk},
    config::GroupConfig,
    peer::Peer,
    pick::Pick,
    roster::Roster,
    set::{Lines, Sets},
    sticky::Sessions,
};

/// A group of peers, shared by all threads.
#[derive(Debug)]
pub struct Group {
    pub(crate) config: GroupConfig,
    /// A text of the whole configuration; equal texts mean equal groups.
    pub(crate) fingerprint: String,
    sets: Mutex<Sets>,
    roster: Mutex<Roster>,
    /// The number of attempts that the sets allow.
    tries: AtomicUsize,
    sessions: Option<Arc<Sessions>>,
    /// Notified when the names of this group, or of its heir, have changed. Only groups with a zone
    /// have names.
    pub(crate) names_change: Option<Arc<Notify>>,
}

impl Drop for Group {
    /// The end of an heir puts the earlier group back in its place, with its names.
    fn drop(&mut self) {
        self.tell_names_change();
    }
}

impl Group {
    /// A group outside the registry, for addresses that one request resolved for itself.
    pub fn transient(name: &str, addresses: Vec<Addr>) -> Arc<Self> {
        Arc::new(Self::new(GroupConfig::implicit(String::new(), name, addresses), None))
    }

    /// A group that takes over the state of shared peers from an earlier one with the same key.
    pub(crate) fn new(config: GroupConfig, earlier: Option<(&Self, &Roster)>) -> Self {
        let (roster, lines) = match earlier {
            Some((group, roster)) => roster.succeed(&group.config, group.lines(), &config),
            None => Roster::of(&config),
        };
        let sessions = config.sessions.as_ref().map(|wanted| {
            let kept = earlier.and_then(|(group, _)| group.sessions.clone());
            kept.filter(|kept| kept.config() == wanted)
                .unwrap_or_else(|| Arc::new(Sessions::new(wanted.clone())))
        });
        let sets = Sets::new(lines, config.method.0.needs_ring());
        Self {
            fingerprint: match config.key.is_empty() {
                // Transient groups are never compared.
                true => String::new(),
                false => format!("{config:?}"),
            },
            tries: AtomicUsize::new(sets.tries()),
            sets: Mutex::new(sets),
            roster: Mutex::new(roster),
            sessions,
            names_change: config.zone.is_some().then(Arc::default),
            config,
        }
    }

    /// The heir of this group, with another configuration. No edit is lost in between.
    pub(crate) fn succeed(&self, config: GroupConfig) -> Arc<Self> {
        let mut roster = self.roster();
        let group = Arc::new(Self::new(config, Some((self, &roster))));
        roster.add_heir(&group);
        self.tell_names_change();
        group
    }

    pub(crate) fn tell_names_change(&self) {
        if let Some(change) = &self.names_change {
            // There is at most one waiter; if it is not waiting yet, it will see a pending notice.
            change.notify_one();
        }
    }

    /// The name as configured.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The store of `sticky learn`.
    pub fn sessions(&self) -> Option<&Arc<Sessions>> {
        self.sessions.as_ref()
    }

    /// All current peers, backups last.
    pub fn peers(&self) -> Vec<Arc<Peer>> {
        self.sets().peers().map(Arc::clone).collect()
    }

    /// Begins the walk of a request over the peers.
    pub fn start(self: &Arc<Self>, request: Request<'_>) -> Pick<'_> {
        let key = self.config.method.0.key(&request);
        let walk = Walk { hint: request.sticky.to_vec(), key, ..Walk::default() };
        Pick::new(self, walk, self.tries.load(Relaxed))
    }

    pub(crate) fn method(&self) -> &Method {
        &self.config.method.0
    }

    pub(crate) fn sets(&self) -> MutexGuard<'_, Sets> {
        // No code under this lock leaves the sets inconsistent, so poisoning is harmless.
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The roster, locked: it serialises edits. Requests do not wait for it.
    pub(crate) fn roster(&self) -> MutexGuard<'_, Roster> {
        // Edits change copies and swap them in, so poisoning is harmless here, too.
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current peers.
    pub(crate) fn lines(&self) -> Lines {
        self.sets().lines()
    }

    /// Replaces the peers; the caller holds the roster. Requests wait only for the swap, not for a
    /// ring to be built or dropped.
    pub(crate) fn line_up(&self, lines: Lines) {
        let fresh = Sets::new(lines, self.method().needs_ring());
        self.tries.store(fresh.tries(), Relaxed);
        let mut sets = self.sets();
        fresh.succeed(&sets);
        let old = std::mem::replace(&mut *sets, fresh);
        drop(sets);
        drop(old);
    }
}
