//! Which sockets each thread accepts from, and what changes of that with a configuration.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use weir_engine::listen::{self, Accepting};
use weir_engine::os_error::Failed;
use weir_engine::{Level, capacity};

use super::Load;
use crate::serve::Service;

/// The listening sockets of a configuration. A clone shares them.
#[derive(Clone)]
pub(crate) struct Sockets(Arc<All>);

struct All {
    listeners: Vec<Listener>,
    names: HashSet<Arc<str>>,
    ports: HashSet<u16>,
}

struct Listener {
    name: Arc<str>,
    /// Several where each thread has its own (`reuseport`).
    sockets: Vec<Socket>,
}

#[derive(Clone)]
struct Socket {
    fd: Arc<OwnedFd>,
    /// What tells one socket from all others, whatever its descriptor.
    inode: u64,
}

impl Socket {
    fn new(fd: OwnedFd) -> Self {
        let file = File::from(fd);
        let inode = file.metadata().map_or(0, |metadata| metadata.ino());
        Self { fd: Arc::new(file.into()), inode }
    }
}

impl Sockets {
    /// The sockets of these names, one for each. Those that are `known` already keep their
    /// descriptor, so that who accepts from them goes on.
    pub(crate) fn of(names: &[String], fds: Vec<OwnedFd>, known: Option<&Self>) -> Self {
        let old = known.into_iter().flat_map(|known| known.0.sockets());
        let mut old: HashMap<u64, &Socket> = old.map(|socket| (socket.inode, socket)).collect();
        let mut listeners: Vec<Listener> = Vec::new();
        let mut places = HashMap::new();
        for (name, fd) in names.iter().zip(fds) {
            let socket = Socket::new(fd);
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

    /// Those that the thread of that number accepts from, out of so many threads.
    fn of_thread(
        &self,
        number: usize,
        threads: usize,
    ) -> impl Iterator<Item = (&Arc<str>, &Socket)> {
        self.0.listeners.iter().flat_map(move |listener| {
            let own = number % listener.sockets.len();
            // Those that no thread has to itself, as there were more threads before, are for all.
            let is_ours = move |place: usize| place == own || place >= threads;
            let sockets = listener.sockets.iter().enumerate();
            sockets.filter(move |(at, _)| is_ours(*at)).map(|(_, socket)| (&listener.name, socket))
        })
    }
}

impl All {
    fn sockets(&self) -> impl Iterator<Item = &Socket> {
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

fn port(name: &str) -> Option<u16> {
    name.rsplit_once(':').and_then(|(_, port)| port.parse().ok())
}

/// What one thread accepts with.
#[derive(Default)]
pub(super) struct Acceptors {
    all: Vec<Acceptor>,
    /// What they came from.
    rule: Option<Rule>,
}

struct Acceptor {
    name: Arc<str>,
    inode: u64,
    accepting: Accepting,
}

/// What decides who accepts where, and how.
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

/// What accepts at addresses that a configuration no longer has.
#[derive(Default)]
pub(super) struct Leaving {
    /// Another listener takes its place, as one for all addresses does.
    pub(super) replaced: Vec<Accepting>,
    /// None does.
    pub(super) gone: Vec<Accepting>,
}

impl Acceptors {
    /// Takes out what does not accept by the new configuration, and gives what accepts at addresses
    /// that this does not have. Where nothing has changed, it looks at nothing.
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

    /// Accepts from all sockets of a configuration that it does not accept from yet.
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

    /// Takes out all of them.
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
        // As the master sends them: other descriptors of the same sockets.
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
        // Another socket of a known name is another socket.
        let other = sockets(&["a:1", "b:2"], &[&c, &b], Some(&one));
        assert!(!Arc::ptr_eq(&one.0, &other.0));
        assert_ne!(fds(&other)[0], fds(&one)[0]);
        assert_eq!(fds(&other)[1], fds(&one)[1]);
    }

    #[test]
    fn each_thread_has_its_own_of_several() {
        let (a, b, c) = (listener(), listener(), listener());
        let names = ["a:1", "a:1", "b:2"];
        let all = sockets(&names, &[&a, &b, &c], None);
        let of = |number, threads| -> Vec<String> {
            let place = |(name, socket): (&Arc<str>, &Socket)| {
                let at = all.0.sockets().position(|other| other.inode == socket.inode);
                format!("{name}/{}", at.unwrap())
            };
            all.of_thread(number, threads).map(place).collect()
        };
        assert_eq!(of(0, 2), ["a:1/0", "b:2/2"]);
        assert_eq!(of(1, 2), ["a:1/1", "b:2/2"]);
        // One thread serves what two have served.
        assert_eq!(of(0, 1), ["a:1/0", "a:1/1", "b:2/2"]);
    }
}
