//! The sockets that each thread accepts from, and their changes with a configuration.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use weir_edge::listen::named_port;
use weir_engine::listen::{self, Accepting};
use weir_engine::os_error::Failed;
use weir_engine::{Level, capacity};

use super::Load;
use crate::serve::Service;

/// The listening sockets of a configuration. Clones share them.
#[derive(Clone)]
pub(crate) struct Sockets(Arc<All>);

struct All {
    listeners: Vec<Listener>,
    names: HashSet<Arc<str>>,
    /// Their transports and ports.
    ports: HashSet<(Box<str>, u16)>,
}

struct Listener {
    name: Arc<str>,
    /// Several if each thread has its own (`reuseport`).
    sockets: Vec<AcceptSocket>,
}

#[derive(Clone)]
struct AcceptSocket {
    fd: Arc<OwnedFd>,
    /// Identifies the socket, whatever its descriptor.
    inode: u64,
}

impl AcceptSocket {
    fn new(fd: OwnedFd) -> Self {
        let file = File::from(fd);
        let inode = file.metadata().map_or(0, |metadata| metadata.ino());
        Self { fd: Arc::new(file.into()), inode }
    }
}

impl Sockets {
    /// The named sockets, one descriptor per name. Sockets in `known` keep their descriptor, so
    /// accepting from them continues.
    pub(crate) fn of(names: &[String], fds: Vec<OwnedFd>, known: Option<&Self>) -> Self {
        let old = known.into_iter().flat_map(|known| known.0.sockets());
        let mut old: HashMap<u64, &AcceptSocket> =
            old.map(|socket| (socket.inode, socket)).collect();
        let mut listeners: Vec<Listener> = Vec::new();
        let mut places = HashMap::new();
        for (name, fd) in names.iter().zip(fds) {
            let socket = AcceptSocket::new(fd);
            let socket = old.remove(&socket.inode).cloned().unwrap_or(socket);
            let place = *places.entry(name.as_str()).or_insert(listeners.len());
            if place == listeners.len() {
                listeners.push(Listener { name: name.as_str().into(), sockets: Vec::new() });
            }
            listeners[place].sockets.push(socket);
        }
        if let Some(known) = known.filter(|known| known.0.is_same(&listeners)) {
            return known.clone();
        }
        let names = listeners.iter().map(|listener| Arc::clone(&listener.name)).collect();
        let ports = listeners.iter().filter_map(|listener| port(&listener.name)).collect();
        Self(Arc::new(All { listeners, names, ports }))
    }

    /// The sockets that thread `number` of `threads` accepts from.
    fn of_thread(
        &self,
        number: usize,
        threads: usize,
    ) -> impl Iterator<Item = (&Arc<str>, &AcceptSocket)> {
        self.0.listeners.iter().flat_map(move |listener| {
            let own = number % listener.sockets.len();
            // Sockets left over from a larger number of threads are served by all.
            let is_ours = move |place: usize| place == own || place >= threads;
            let sockets = listener.sockets.iter().enumerate();
            sockets.filter(move |(at, _)| is_ours(*at)).map(|(_, socket)| (&listener.name, socket))
        })
    }
}

impl All {
    fn sockets(&self) -> impl Iterator<Item = &AcceptSocket> {
        self.listeners.iter().flat_map(|listener| &listener.sockets)
    }

    fn is_same(&self, listeners: &[Listener]) -> bool {
        let same = |(one, other): (&Listener, &Listener)| {
            let inodes = |listener: &Listener| -> Vec<u64> {
                listener.sockets.iter().map(|socket| socket.inode).collect()
            };
            one.name == other.name && inodes(one) == inodes(other)
        };
        self.listeners.len() == listeners.len() && self.listeners.iter().zip(listeners).all(same)
    }
}

/// The transport and the port in a socket's name.
fn port(name: &str) -> Option<(Box<str>, u16)> {
    named_port(name).map(|(transport, port)| (transport.into(), port))
}

/// The acceptors of one thread.
#[derive(Default)]
pub(super) struct Acceptors {
    all: Vec<Acceptor>,
    /// The rule that they follow.
    rule: Option<Rule>,
}

struct Acceptor {
    name: Arc<str>,
    inode: u64,
    accepting: Accepting,
}

/// The inputs that determine the acceptors.
struct Rule {
    sockets: Sockets,
    threads: usize,
    multi: bool,
}

impl Rule {
    fn of(load: &Load) -> Self {
        let (threads, multi) = (load.process.threads, load.process.multi_accept);
        Self { sockets: load.sockets.clone(), threads, multi }
    }

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.sockets.0, &other.sockets.0)
            && (self.threads, self.multi) == (other.threads, other.multi)
    }
}

/// Acceptors of addresses that are no longer configured.
#[derive(Default)]
pub(super) struct Leaving {
    /// Another listener replaces the address, such as a wildcard.
    pub(super) replaced: Vec<Accepting>,
    /// No listener replaces it.
    pub(super) gone: Vec<Accepting>,
}

impl Acceptors {
    /// Removes the acceptors that the new configuration lacks, and returns those at removed
    /// addresses. Costs nothing if the sockets are unchanged.
    pub(super) fn take_leaving(&mut self, number: usize, load: &Load) -> Leaving {
        let mut leaving = Leaving::default();
        let rule = Rule::of(load);
        let Some(old) = self.rule.take_if(|old| !old.is_same(&rule)) else { return leaving };
        let wanted = rule.sockets.of_thread(number, rule.threads);
        let wanted: HashSet<_> =
            wanted.map(|(name, socket)| (Arc::clone(name), socket.inode)).collect();
        let sockets = &rule.sockets.0;
        for acceptor in std::mem::take(&mut self.all) {
            let Acceptor { name, inode, accepting } = acceptor;
            if !sockets.names.contains(&name) {
                let has_heir = port(&name).is_some_and(|port| sockets.ports.contains(&port));
                let out = if has_heir { &mut leaving.replaced } else { &mut leaving.gone };
                out.push(accepting);
            } else if old.multi == rule.multi && wanted.contains(&(Arc::clone(&name), inode)) {
                self.all.push(Acceptor { name, inode, accepting });
            }
        }
        leaving
    }

    /// Accepts from all sockets of a configuration that have no acceptor yet.
    pub(super) fn start(&mut self, number: usize, service: &Service, load: &Load) {
        capacity::set_limit(load.process.connections);
        if self.rule.is_some() {
            return;
        }
        let rule = self.rule.insert(Rule::of(load));
        let has = |all: &[Acceptor]| -> HashSet<_> {
            all.iter().map(|acceptor| (Arc::clone(&acceptor.name), acceptor.inode)).collect()
        };
        let known = has(&self.all);
        for (name, socket) in rule.sockets.of_thread(number, rule.threads) {
            if known.contains(&(Arc::clone(name), socket.inode)) {
                continue;
            }
            match listen::accept(Arc::clone(&socket.fd), rule.multi, service.acceptor(name)) {
                Ok(accepting) => {
                    let (name, inode) = (Arc::clone(name), socket.inode);
                    self.all.push(Acceptor { name, inode, accepting });
                }
                Err(error) => {
                    let what = format!("epoll_ctl() of the socket \"{name}\" failed");
                    load.error_log.log(Level::Alert, 0, Failed(&what, &error));
                }
            }
        }
    }

    /// Removes all acceptors.
    pub(super) fn take_all(&mut self) -> Vec<Accepting> {
        self.rule = None;
        self.all.drain(..).map(|acceptor| acceptor.accepting).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn sockets(names: &[&str], from: &[&TcpListener], known: Option<&Sockets>) -> Sockets {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        // As sent by the master: other descriptors of the same sockets.
        let fds = from.iter().map(|listener| listener.try_clone().unwrap().into()).collect();
        Sockets::of(&names, fds, known)
    }

    fn listener() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").unwrap()
    }

    fn fds(sockets: &Sockets) -> Vec<*const OwnedFd> {
        sockets.0.sockets().map(|socket| Arc::as_ptr(&socket.fd)).collect()
    }

    #[test]
    fn a_socket_that_stays_keeps_its_descriptor() {
        let (a, b, c) = (listener(), listener(), listener());
        let one = sockets(&["a:1", "b:2"], &[&a, &b], None);
        let same = sockets(&["a:1", "b:2"], &[&a, &b], Some(&one));
        assert!(Arc::ptr_eq(&one.0, &same.0));
        let more = sockets(&["c:3", "a:1"], &[&c, &a], Some(&one));
        assert_eq!(fds(&more)[1], fds(&one)[0]);
        // Another socket under a known name is a different socket.
        let other = sockets(&["a:1", "b:2"], &[&c, &b], Some(&one));
        assert!(!Arc::ptr_eq(&one.0, &other.0));
        assert_ne!(fds(&other)[0], fds(&one)[0]);
        assert_eq!(fds(&other)[1], fds(&one)[1]);
    }

    #[test]
    fn each_thread_has_its_own_reuseport_socket() {
        let (a, b, c) = (listener(), listener(), listener());
        let names = ["a:1", "a:1", "b:2"];
        let all = sockets(&names, &[&a, &b, &c], None);
        let of = |number, threads| -> Vec<String> {
            let place = |(name, socket): (&Arc<str>, &AcceptSocket)| {
                let at = all.0.sockets().position(|other| other.inode == socket.inode);
                format!("{name}/{}", at.unwrap())
            };
            all.of_thread(number, threads).map(place).collect()
        };
        assert_eq!(of(0, 2), ["a:1/0", "b:2/2"]);
        assert_eq!(of(1, 2), ["a:1/1", "b:2/2"]);
        // One thread serves the sockets of two.
        assert_eq!(of(0, 1), ["a:1/0", "a:1/1", "b:2/2"]);
    }
}
