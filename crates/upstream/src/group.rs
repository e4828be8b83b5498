//! A group of peers: what an `upstream` block, or the address in a `proxy_pass`, stands for.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed},
    },
};

use weir_engine::Addr;

use crate::{
    balance::{Method, Walk, round_robin::RoundRobin},
    peer::{Limits, Peer},
    pick::Pick,
    resolver::ResolverConfig,
    set::Sets,
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
    pub(crate) hosts: Vec<Host>,
    sets: Mutex<Sets>,
    lining_up: Mutex<()>,
    /// How many attempts the sets allow.
    tries: AtomicUsize,
    sessions: Option<Arc<Sessions>>,
}

/// A `server … resolve` of the group, and until when its addresses hold.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) server: Server,
    pub(crate) name: Name,
    /// In seconds of [`Now::current`](crate::Now::current); 0 if it was never resolved.
    pub(crate) valid: AtomicI64,
}

impl Group {
    /// A group that nobody else knows: for addresses that one request resolved for itself.
    pub fn transient(name: &str, addresses: Vec<Addr>) -> Arc<Self> {
        Arc::new(Self::new(GroupConfig::implicit(String::new(), name, addresses), None))
    }

    /// A group, with what an earlier one of the same key knows about the peers they share.
    pub(crate) fn new(config: GroupConfig, earlier: Option<&Self>) -> Self {
        let mut hosts = Vec::new();
        let mut primary = Vec::new();
        let mut backup = Vec::new();
        for server in &config.servers {
            if let Some(name) = &server.resolve {
                let (server, name) = (server.clone(), name.clone());
                hosts.push(Host { server, name, valid: AtomicI64::new(0) });
                continue;
            }
            let line = if server.backup { &mut backup } else { &mut primary };
            line.extend(server.addresses.iter().map(|address| {
                Peer::new(address.clone(), &server.text, server.limits.clone(), server.route())
            }));
        }
        if let Some(earlier) = earlier {
            earlier.hand_over_resolved(&hosts, &mut primary, &mut backup);
            earlier.hand_over_state(primary.iter_mut().chain(&mut backup));
        }
        let sessions = config.sessions.as_ref().map(|wanted| {
            let kept = earlier.and_then(|group| group.sessions.clone());
            kept.filter(|kept| kept.config() == wanted)
                .unwrap_or_else(|| Arc::new(Sessions::new(wanted.clone())))
        });
        let line = |peers: Vec<Peer>| peers.into_iter().map(Arc::new).collect();
        let sets = Sets::new(line(primary), line(backup), config.method.0.needs_ring());
        Self {
            fingerprint: match config.key.is_empty() {
                // Nobody will look for it.
                true => String::new(),
                false => format!("{config:?}"),
            },
            hosts,
            tries: AtomicUsize::new(sets.tries()),
            sets: Mutex::new(sets),
            lining_up: Mutex::new(()),
            sessions,
            config,
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

    /// The turn of whoever puts other peers in place of the present ones. Requests don't wait
    /// for it.
    pub(crate) fn lining_up(&self) -> MutexGuard<'_, ()> {
        self.lining_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts other peers in place of the present ones, whose lines nobody else may change in the
    /// meantime. Requests wait for the exchange only, not for a ring to be made or dropped.
    pub(crate) fn line_up(&self, primary: Vec<Arc<Peer>>, backup: Vec<Arc<Peer>>) {
        let fresh = Sets::new(primary, backup, self.method().needs_ring());
        self.tries.store(fresh.tries(), Relaxed);
        let old = std::mem::replace(&mut *self.sets(), fresh);
        drop(old);
    }

    /// Gives the addresses that names of the new configuration had under this one, so that a
    /// reload does not empty the group until the names are resolved again.
    fn hand_over_resolved(&self, hosts: &[Host], primary: &mut Vec<Peer>, backup: &mut Vec<Peer>) {
        let sets = self.sets();
        let backups = sets.backup.as_ref().map_or(&[][..], |set| &set.peers[..]);
        for (index, host) in hosts.iter().enumerate() {
            let known = self.hosts.iter().position(|old| {
                old.name.host == host.name.host && old.name.service == host.name.service
            });
            let Some(known) = known else { continue };
            host.valid.store(self.hosts[known].valid.load(Relaxed), Relaxed);
            for (line, old) in [(&mut *primary, &sets.primary.peers[..]), (&mut *backup, backups)] {
                let resolved = old.iter().filter(|peer| peer.host == Some(known));
                line.extend(resolved.filter_map(|old| {
                    let Addr::Inet(address) = old.address else { return None };
                    let mut peer = host.peer(index, address, &old.server, old.limits.weight);
                    peer.inherit(old);
                    Some(peer)
                }));
            }
        }
    }

    /// Gives the counters of this group to peers of the same address and server text. The second
    /// of two equal peers gets those of the second.
    fn hand_over_state<'a>(&self, peers: impl Iterator<Item = &'a mut Peer>) {
        let mut old = self.peers();
        for peer in peers.filter(|peer| peer.host.is_none()) {
            let same = |old: &Arc<Peer>| old.name == peer.name && old.server == peer.server;
            if let Some(place) = old.iter().position(same) {
                peer.inherit(&old.remove(place));
            }
        }
    }
}

impl Server {
    pub(crate) fn route(&self) -> Option<&str> {
        self.route.as_deref()
    }
}

impl Host {
    /// A peer at an address that the name stands for. `server` and `weight` are what a service
    /// says; a plain name has those of its directive.
    pub(crate) fn peer(
        &self,
        index: usize,
        mut address: SocketAddr,
        server: &str,
        weight: u32,
    ) -> Peer {
        let mut limits = self.server.limits.clone();
        let mut text = self.server.text.as_str();
        if self.name.service.is_some() {
            text = server;
            if limits.weight == 1 {
                limits.weight = weight;
            }
        } else {
            address.set_port(self.name.port);
        }
        let mut peer = Peer::new(Addr::Inet(address), text, limits, self.server.route());
        peer.host = Some(index);
        peer
    }
}
