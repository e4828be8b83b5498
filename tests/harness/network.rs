//! Hosts on a cable: network namespaces on one bridge, so that nothing else on this machine is
//! affected. Needs root and iproute2.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{is_root, run};

/// The host `front` with the address 192.168.56.10, and nodes with 192.168.56.11 and so on.
pub(crate) struct Network {
    /// The namespace of the host in front.
    pub(crate) front: String,
    /// The namespaces of the nodes; the first is number 1.
    pub(crate) nodes: Vec<String>,
}

impl Network {
    /// A network with so many nodes, or the reason why there can be none.
    pub(crate) fn new(nodes: usize) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !is_root() {
            return Err("it needs root".to_owned());
        }
        let (id, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let name = |label: &str| format!("weir-{id}-{count}-{label}");
        // Dropped, and so removed, if one of the following commands fails.
        let mut this = Self { front: name("front"), nodes: Vec::new() };
        add(&this.front)?;
        let front = this.front.clone();
        ip(&["-n", &front, "link", "add", "bridge0", "type", "bridge"])?;
        ip(&["-n", &front, "addr", "add", "192.168.56.10/24", "dev", "bridge0"])?;
        ip(&["-n", &front, "link", "set", "bridge0", "up"])?;
        for number in 1..=nodes {
            let node = name(&format!("node{number}"));
            this.nodes.push(node.clone());
            add(&node)?;
            let port = port(number);
            ip(&[
                "-n", &front, "link", "add", &port, "type", "veth", "peer", "name", "eth0",
                "netns", &node,
            ])?;
            ip(&["-n", &front, "link", "set", &port, "master", "bridge0", "up"])?;
            let address = format!("{}/24", address(number));
            ip(&["-n", &node, "addr", "add", &address, "dev", "eth0"])?;
            ip(&["-n", &node, "link", "set", "eth0", "up"])?;
        }
        Ok(this)
    }

    /// The namespace of a node, by its number from 1.
    pub(crate) fn node(&self, number: usize) -> &str {
        &self.nodes[number - 1]
    }

    /// A program on a host.
    pub(crate) fn command(&self, namespace: &str, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(program);
        command
    }

    /// The processes on a host.
    pub(crate) fn processes(&self, namespace: &str) -> Vec<u32> {
        let output = run("ip", &["netns", "pids", namespace]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// Pulls the cable of a node, or plugs it in.
    #[track_caller]
    pub(crate) fn plug(&self, node: usize, is_in: bool) {
        let state = if is_in { "up" } else { "down" };
        ip(&["-n", &self.front, "link", "set", &port(node), state]).unwrap();
    }

    /// Has the bridge pass nothing between two nodes, or everything again: their own links stay up,
    /// and all others hear them.
    #[track_caller]
    pub(crate) fn part(&self, nodes: [usize; 2], parted: bool) {
        let state = if parted { "on" } else { "off" };
        for node in nodes {
            let port = port(node);
            ip(&[
                "-n",
                &self.front,
                "link",
                "set",
                &port,
                "type",
                "bridge_slave",
                "isolated",
                state,
            ])
            .unwrap();
        }
    }

    /// Lets nothing get from one node to another, or everything again: frames go to a host that
    /// does not exist. The way back is open.
    #[track_caller]
    pub(crate) fn deafen(&self, from: usize, to: usize, cut: bool) {
        let address = address(to);
        let neighbour = ["-n", self.node(from), "neigh"];
        let wrong = ["lladdr", "02:00:00:00:00:ff", "nud", "permanent"];
        match cut {
            true => {
                let entry = [&["replace", &address], &wrong[..], &["dev", "eth0"]].concat();
                ip(&[&neighbour[..], &entry].concat()).unwrap();
            }
            // It is asked for again. A cable that was out has removed it already.
            false => {
                let _ = ip(&[&neighbour[..], &["del", &address, "dev", "eth0"]].concat());
            }
        }
    }

    /// Gives what a node sends a narrow way, or the whole again.
    #[track_caller]
    pub(crate) fn narrow(&self, node: usize, narrow: bool) {
        let node = self.node(node);
        let way = ["rate", "256kbit", "burst", "4000", "latency", "200ms"];
        let (verb, way) =
            if narrow { ("replace", &[&["tbf"], &way[..]].concat()[..]) } else { ("del", &[][..]) };
        let tc = ["netns", "exec", node, "tc", "qdisc", verb, "dev", "eth0", "root"];
        // A kernel without this queue has the whole way.
        let _ = ip(&[&tc[..], way].concat());
    }

    /// Runs `body` on the host in front: its sockets are there, and so are those of the threads and
    /// processes that it starts. It gets a thread of its own, with the name of this one.
    pub(crate) fn in_front<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        self.on(&self.front, body)
    }

    /// Runs `body` on a host, as [`Self::in_front`] does.
    pub(crate) fn on<T: Send>(&self, host: &str, body: impl FnOnce() -> T + Send) -> T {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().name(name);
            let thread = builder.spawn_scoped(scope, || {
                let namespace = File::open(Path::new("/var/run/netns").join(host)).unwrap();
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(namespace.as_fd(), kind).unwrap();
                body()
            });
            match thread.unwrap().join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in std::iter::once(&self.front).chain(&self.nodes) {
            let _ = Command::new("ip").args(["netns", "del", namespace]).output();
        }
    }
}

/// The address of a node, by its number from 1.
pub(crate) fn address(node: usize) -> String {
    format!("192.168.56.{}", 10 + node)
}

/// The bridge's port of a node.
fn port(node: usize) -> String {
    format!("port{node}")
}

/// Adds a host.
fn add(namespace: &str) -> Result<(), String> {
    ip(&["netns", "add", namespace])?;
    ip(&["-n", namespace, "link", "set", "lo", "up"])
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
