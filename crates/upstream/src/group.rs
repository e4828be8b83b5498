//! A group of peers: what an `upstream` block, or the address in a `proxy_pass`, stands for.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::sync::Notify;
use weir_engine::Addr;

use crate::{
    balance::{Method, Walk, round_robin::RoundRobin},
    peer::{Limits, Peer},
    pick::Pick,
    resolver::ResolverConfig,
    roster::Roster,
    set::{Lines, Sets},
    sticky::{Sessions, SessionsConfig},
};

/// One `server` of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// The address as written.
    pub text: String,
    /// What the address means; empty if it is resolved at run time.
    pub addresses: Vec<Addr>,
    /// `weight=`, `max_conns=`, `max_fails=`, `fail_timeout=`, `down`, `drain`.
    pub limits: Limits,
    /// `backup`: takes requests only when nobody else can.
    pub backup: bool,
    /// `route=`.
    pub route: Option<String>,
    /// `resolve`: the name is resolved at run time, again and again.
    pub resolve: Option<Name>,
}

/// A name that is resolved at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The domain name.
    pub host: String,
    /// The port of its addresses; a service brings its own.
    pub port: u16,
    /// `service=`: look up SRV records.
    pub service: Option<String>,
}

/// All that makes a group. Two groups with equal configurations are the same group.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// The name that finds the group's state again after a reload: unique within the registry.
    pub key: String,
    /// The name as in `no live upstreams` and `$upstream_addr`.
    pub name: String,
    /// `zone`: the group can be changed at run time.
    pub zone: Option<String>,
    /// The servers, in order.
    pub servers: Vec<Server>,
    /// How to choose among them.
    pub method: MethodHandle,
    /// `sticky learn`: the store of sessions.
    pub sessions: Option<SessionsConfig>,
    /// Who resolves the names of servers, and within how many milliseconds.
    pub resolver: Option<(ResolverConfig, u64)>,
}

impl GroupConfig {
    /// A group of one server line with the default parameters, balanced round robin: what a
    /// `proxy_pass` to an address is.
    pub fn implicit(key: String, name: &str, addresses: Vec<Addr>) -> Self {
        let server = Server { text: name.to_owned(), addresses, ..Server::default() };
        Self {
            key,
            name: name.to_owned(),
            zone: None,
            servers: vec![server],
            method: MethodHandle::default(),
            sessions: None,
            resolver: None,
        }
    }
}

/// A balancing method with its parameters.
#[derive(Clone)]
pub struct MethodHandle(pub(crate) Method);

impl Default for MethodHandle {
    fn default() -> Self {
        Self(Arc::new(RoundRobin))
    }
}

impl fmt::Debug for MethodHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is known of a request before a peer is chosen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// The client's address, for `ip_hash`.
    pub client: Option<IpAddr>,
    /// The key of `hash`, evaluated.
    pub key: &'a [u8],
    /// The peer that `sticky` asks for, by sid; empty is none.
    pub sticky: &'a [u8],
}

/// A group of peers, shared by all threads.
#[derive(Debug)]
pub struct Group {
    pub(crate) config: GroupConfig,
    /// Says all that the configuration says; equal text is an equal group.
    pub(crate) fingerprint: String,
    sets: Mutex<Sets>,
    roster: Mutex<Roster>,
    /// How many attempts the sets allow.
    tries: AtomicUsize,
    sessions: Option<Arc<Sessions>>,
    /// Told when the names of the group have changed, or those of a group that took its place. Only
    /// a group with a zone can have names.
    pub(crate) names_change: Option<Arc<Notify>>,
}

impl Drop for Group {
    /// Where it had taken the place of an earlier one, that is in its place again.
    fn drop(&mut self) {
        self.tell_names_change();
    }
}

impl Group {
    /// A group that nobody else knows: for addresses that one request resolved for itself.
    pub fn transient(name: &str, addresses: Vec<Addr>) -> Arc<Self> {
        Arc::new(Self::new(GroupConfig::implicit(String::new(), name, addresses), None))
    }

    /// A group, with what an earlier one of the same key knows about the peers they share.
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
                // Nobody will look for it.
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

    /// The group that takes over from this one with another configuration. No edit is lost in
    /// between.
    pub(crate) fn succeed(&self, config: GroupConfig) -> Arc<Self> {
        let mut roster = self.roster();
        let group = Arc::new(Self::new(config, Some((self, &roster))));
        roster.heir = Arc::downgrade(&group);
        self.tell_names_change();
        group
    }

    pub(crate) fn tell_names_change(&self) {
        if let Some(change) = &self.names_change {
            // One waits at most; if it does not yet, it will find that something has changed.
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

    /// All peers at this moment, backups last.
    pub fn peers(&self) -> Vec<Arc<Peer>> {
        self.sets().peers().map(Arc::clone).collect()
    }

    /// Begins the way of one request.
    pub fn start(self: &Arc<Self>, request: Request<'_>) -> Pick<'_> {
        let key = self.config.method.0.key(&request);
        let walk = Walk { hint: request.sticky.to_vec(), key, ..Walk::default() };
        Pick::new(self, walk, self.tries.load(Relaxed))
    }

    pub(crate) fn method(&self) -> &Method {
        &self.config.method.0
    }

    pub(crate) fn sets(&self) -> MutexGuard<'_, Sets> {
        // Nothing under this lock leaves the sets half changed, so poison means nothing.
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The roster, locked: it serialises changes of the lines. Requests don't wait for it.
    pub(crate) fn roster(&self) -> MutexGuard<'_, Roster> {
        // A change is made of copies and put in place whole, so poison means nothing here, either.
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peers at this moment.
    pub(crate) fn lines(&self) -> Lines {
        self.sets().lines()
    }

    /// Puts other peers in place of the present ones; the caller holds the roster. Requests wait
    /// for the exchange only, not for a ring to be made or dropped.
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

impl Server {
    pub(crate) fn route(&self) -> Option<&str> {
        self.route.as_deref()
    }
}
