//! Groups of peers: an `upstream` block, or the address in a `proxy_pass`.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::sync::{Notify, watch};
use weir_engine::{Addr, journal::Noted};

use crate::{
    balance::{
        method::{Method, Request, Walk},
        turns::Turns,
    },
    clock::Now,
    config::GroupConfig,
    counters::Counters,
    findings::Others,
    group_counters::GroupCounters,
    keepalive::KeptCount,
    left_health::Left,
    outlier::watch::Watch,
    peer::{Peer, PeerState},
    pick::Pick,
    queue::{GroupTag, Queue},
    retry::budget::Retries,
    roster::Roster,
    set::{Lines, Sets},
    shared_records,
    sticky::Sessions,
    upstreams::Side,
};

/// A group of peers, shared by all threads.
#[derive(Debug)]
pub struct Group {
    pub(crate) config: GroupConfig,
    /// A text of the whole configuration; equal texts mean equal groups.
    pub(crate) fingerprint: String,
    /// What the configuration says about the servers, as a hash, once other nodes want to know.
    pub(crate) lines_hash: OnceLock<String>,
    sets: RwLock<Sets>,
    /// For methods whose choices take turns. Locked after the sets.
    turns: Mutex<Turns>,
    roster: Mutex<Roster>,
    /// The owner of its records in the journal, if it can be changed or health is judged.
    noted: Option<Arc<Noted>>,
    /// Held while the state file is written.
    pub(crate) saving: Mutex<()>,
    /// The number of attempts that the sets allow.
    tries: AtomicUsize,
    sessions: Option<Arc<Sessions>>,
    pub(crate) retries: Arc<Retries>,
    /// What other nodes have found about its peers.
    pub(crate) others: Others,
    /// Whether the times of answers are averaged.
    pub(crate) measures: bool,
    /// Whether times of attempts are averaged or judged.
    pub(crate) needs_times: bool,
    /// The requests that wait for a peer.
    queue: Option<Arc<Queue>>,
    /// `outlier_ejection`.
    pub(crate) outliers: Option<Arc<Watch>>,
    /// The count of its idle connections, if it has a zone.
    pub(crate) kept: Option<KeptCount>,
    /// Its own counters, if it has a zone.
    pub(crate) counters: Option<GroupCounters>,
    /// The states of removed peers that still had requests.
    zombies: Mutex<Vec<Weak<PeerState>>>,
    /// Notified when the names of this group, or of its heir, have changed. Only groups with a zone
    /// have names.
    pub(crate) names_change: Option<Arc<Notify>>,
    /// Notified when the health of its peers, or of those of its heirs, has changed, if anything
    /// judges it.
    pub(crate) health_change: Option<Arc<Notify>>,
    /// What a killed worker has noted about the health of peers that are not resolved again yet.
    pub(crate) left: Mutex<Left>,
    /// Notified when the peers of this group have changed, or those of its heir replace them.
    pub(crate) peers_change: watch::Sender<()>,
}

impl Drop for Group {
    /// The end of an heir puts the earlier group back in its place, with its names and peers.
    fn drop(&mut self) {
        self.tell_names_change();
        self.tell_peers_change();
        let roster = self.roster.get_mut().unwrap_or_else(PoisonError::into_inner);
        if roster.heir().is_none() && (roster.has_dropped || !roster.edits.is_empty()) {
            shared_records::recheck();
        }
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
            Some((group, roster)) => {
                let sets = group.sets();
                group.turns().flush(&sets, None);
                roster.succeed(&group.config, sets.lines(), &config)
            }
            None => Roster::of(&config),
        };
        let sessions = config.sessions.as_ref().map(|wanted| {
            let kept = earlier.and_then(|(group, _)| group.sessions.clone());
            kept.filter(|kept| kept.config() == wanted)
                .unwrap_or_else(|| Arc::new(Sessions::new(wanted.clone(), &config.key)))
        });
        let sets = Sets::new(lines, config.method.0.needs_ring(), config.locality.as_ref());
        if let Some((group, _)) = earlier {
            sets.succeed(&group.sets());
        }
        Self {
            fingerprint: match config.key.is_empty() {
                // Transient groups are never compared.
                true => String::new(),
                false => format!("{config:?}"),
            },
            lines_hash: OnceLock::new(),
            tries: AtomicUsize::new(sets.tries()),
            sets: RwLock::new(sets),
            turns: Mutex::default(),
            queue: roster.queue().cloned(),
            roster: Mutex::new(roster),
            noted: (config.zone.is_some() || config.judges_health()).then(|| {
                let kept = earlier.and_then(|(group, _)| group.noted.clone());
                kept.unwrap_or_else(|| Noted::new(config.journal_key()))
            }),
            measures: config.uses_times(),
            needs_times: config.uses_times() || config.outliers.is_some(),
            saving: Mutex::default(),
            sessions,
            outliers: config
                .outliers
                .as_ref()
                .map(|_| earlier.and_then(|(group, _)| group.outliers.clone()).unwrap_or_default()),
            others: earlier.map_or_else(Others::default, |(group, _)| group.others.clone()),
            retries: earlier.map_or_else(Arc::default, |(group, _)| Arc::clone(&group.retries)),
            kept: config.zone.as_ref().map(|_| KeptCount::of(&config.key)),
            counters: config.zone.as_ref().map(|_| GroupCounters::of(&config.key)),
            zombies: Mutex::new(
                earlier.map(|(group, _)| group.zombies().clone()).unwrap_or_default(),
            ),
            names_change: config.zone.is_some().then(Arc::default),
            health_change: config.judges_health().then(|| {
                let kept = earlier.and_then(|(group, _)| group.health_change.clone());
                kept.unwrap_or_default()
            }),
            left: Mutex::default(),
            peers_change: watch::Sender::new(()),
            config,
        }
    }

    /// The heir of this group, with another configuration. No edit is lost in between.
    pub(crate) fn succeed(&self, config: GroupConfig) -> Arc<Self> {
        let mut roster = self.roster();
        let group = Arc::new(Self::new(config, Some((self, &roster))));
        self.drop_edits(&roster, &mut group.roster());
        if group.config.discover.is_some() {
            // What a source lists stays, even if other edits go.
            group.note(&group.roster());
        }
        roster.add_heir(&group);
        self.tell_names_change();
        self.tell_peers_change();
        group.tell_health_change();
        group
    }

    pub(crate) fn tell_names_change(&self) {
        if let Some(change) = &self.names_change {
            // There is at most one waiter; if it is not waiting yet, it will see a pending notice.
            change.notify_one();
        }
    }

    /// Tells the duties that probe the peers.
    pub(crate) fn tell_peers_change(&self) {
        self.peers_change.send_replace(());
    }

    /// The name as configured.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Whether it is an `upstream` block of that side.
    pub fn is_declared(&self, side: Side) -> bool {
        self.config.key == side.key(&self.config.name)
    }

    /// The name of its `zone`. Without one it cannot be edited.
    pub fn zone(&self) -> Option<&str> {
        self.config.zone.as_deref()
    }

    /// Where its idle connections are counted, for those that are not in a [`crate::Pool`].
    pub fn kept_count(&self) -> Option<&KeptCount> {
        self.kept.as_ref()
    }

    /// The number of its idle connections, in all threads; 0 without a zone.
    pub fn kept(&self) -> u64 {
        self.kept.as_ref().map_or(0, KeptCount::read)
    }

    /// The number of removed peers with requests.
    pub(crate) fn zombie_count(&self) -> u64 {
        let mut zombies = self.zombies();
        zombies.retain(is_busy);
        zombies.len() as u64
    }

    fn zombies(&self) -> MutexGuard<'_, Vec<Weak<PeerState>>> {
        self.zombies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the counts of all peers over.
    pub fn reset_counts(&self, now: Now) {
        let roster = self.roster();
        if let Some(heir) = roster.heir() {
            drop(roster);
            return heir.reset_counts(now);
        }
        self.peers().iter().for_each(|peer| peer.reset_counts(now));
        self.queue.iter().for_each(|queue| queue.reset());
        self.counters.iter().for_each(GroupCounters::reset);
    }

    /// Asks for an exemplar of each bucket of its peers' response times, once.
    pub fn ask_for_exemplars(&self) {
        let peers = self.peers();
        let counted = peers.iter().filter_map(|peer| peer.counters.as_ref());
        counted.for_each(Counters::ask_for_exemplars);
    }

    /// The store of `sticky learn`.
    pub fn sessions(&self) -> Option<&Arc<Sessions>> {
        self.sessions.as_ref()
    }

    /// All current peers, backups last.
    pub fn peers(&self) -> Vec<Arc<Peer>> {
        self.sets().peers().map(Arc::clone).collect()
    }

    /// The number of requests that its peers have.
    pub(crate) fn active(&self) -> u64 {
        self.sets().peers().map(|peer| peer.state.conns.load(Relaxed)).sum()
    }

    /// Begins the walk of a request over the peers.
    pub fn start(self: &Arc<Self>, request: Request<'_>) -> Pick<'_> {
        let key = self.config.method.0.key(&request);
        let localities = request.localities.to_vec();
        let walk = Walk { hint: request.sticky.to_vec(), key, localities, ..Walk::default() };
        Pick::new(self, walk, self.tries.load(Relaxed))
    }

    /// The requests that wait for a peer.
    pub(crate) fn queue(&self) -> Option<&Arc<Queue>> {
        self.queue.as_ref()
    }

    /// Tells it from other groups that share its queue.
    pub(crate) fn tag(&self) -> GroupTag {
        std::ptr::from_ref(self).addr()
    }

    /// Whether a peer can take a request.
    pub(crate) fn has_room(&self, now: Now) -> bool {
        self.sets().peers().any(|peer| peer.is_available(now))
    }

    pub(crate) fn method(&self) -> &Method {
        &self.config.method.0
    }

    /// The current sets. Only a replacement of them keeps others waiting.
    pub(crate) fn sets(&self) -> RwLockReadGuard<'_, Sets> {
        // No code under this lock leaves the sets inconsistent, so poisoning is harmless.
        self.sets.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock of methods that take turns.
    pub(crate) fn turns(&self) -> MutexGuard<'_, Turns> {
        // After a panic, a sequence may be wrong by a turn.
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
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
        let fresh = Sets::new(lines, self.method().needs_ring(), self.config.locality.as_ref());
        if !self.others.is_empty() {
            let (name, checks) = (self.name(), &self.config.checks);
            self.others.teach(name, checks, fresh.peers(), Now::current());
        }
        let kept: HashSet<u64> = fresh.peers().map(|peer| peer.serial()).collect();
        self.tries.store(fresh.tries(), Relaxed);
        let mut sets = self.sets.write().unwrap_or_else(PoisonError::into_inner);
        self.turns().flush(&sets, Some(&fresh));
        fresh.succeed(&sets);
        let old = std::mem::replace(&mut *sets, fresh);
        drop(sets);
        let gone = old.peers().filter(|peer| !kept.contains(&peer.serial()));
        let mut zombies = self.zombies();
        zombies.extend(gone.map(|peer| Arc::downgrade(&peer.state)));
        zombies.retain(is_busy);
        drop(zombies);
        drop(old);
        if let Some(queue) = &self.queue {
            queue.call_if(|| self.has_room(Now::current()));
        }
        self.tell_peers_change();
    }
}

fn is_busy(state: &Weak<PeerState>) -> bool {
    state.upgrade().is_some_and(|state| state.conns.load(Relaxed) > 0)
}
