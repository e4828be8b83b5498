//! etcd, driven by its own client.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use super::{Directory, Network, Port, Signal, address, send_signal, skipped, until};

/// A member of a cluster, which may be its only one.
pub(crate) struct Etcd {
    process: Child,
    pub(crate) directory: Directory,
    /// The namespace of its host, if it is not this one, and its address there.
    host: (Option<String>, String),
    client: Port,
    peer: Port,
    scheme: &'static str,
    /// Flags besides the usual ones, which they replace.
    flags: Vec<String>,
    /// The arguments of `etcdctl` that let it in.
    pub(crate) login: Vec<String>,
}

/// Whether there is etcd; else the test is skipped.
pub(crate) fn etcd_is_there() -> bool {
    let mut programs = ["etcd", "etcdctl"].iter();
    let installed = programs.all(|program| Command::new(program).arg("--help").output().is_ok());
    if !installed {
        skipped("etcd is not installed");
    }
    installed
}

impl Etcd {
    /// `None`, and a skipped test, without etcd.
    pub(crate) fn start() -> Option<Self> {
        let etcd = Self::with(Directory::new(), "http", &[])?;
        etcd.wait();
        Some(etcd)
    }

    pub(crate) fn with(
        directory: Directory,
        scheme: &'static str,
        flags: &[String],
    ) -> Option<Self> {
        if !etcd_is_there() {
            return None;
        }
        let (client, peer) = (Port::reserve(), Port::reserve());
        Some(Self::launched(directory, client, peer, scheme, flags.to_vec()))
    }

    /// Does not wait for it.
    pub(crate) fn launched(
        directory: Directory,
        client: Port,
        peer: Port,
        scheme: &'static str,
        flags: Vec<String>,
    ) -> Self {
        let host = (None, "127.0.0.1".to_owned());
        let process = launch(&directory, &host, (&client, &peer), scheme, &flags);
        Self { process, directory, host, client, peer, scheme, flags, login: Vec::new() }
    }

    /// A member on a node of a network, without TLS.
    pub(crate) fn on(network: &Network, node: usize) -> Self {
        let (directory, client, peer) = (Directory::new(), Port::reserve(), Port::reserve());
        let host = (Some(network.node(node).to_owned()), address(node));
        let process = launch(&directory, &host, (&client, &peer), "http", &[]);
        let (flags, login) = (Vec::new(), Vec::new());
        let etcd = Self { process, directory, host, client, peer, scheme: "http", flags, login };
        etcd.wait();
        etcd
    }

    /// Waits until it answers.
    pub(crate) fn wait(&self) {
        until("etcd", || self.try_ctl(&["get", "x"]).is_some());
    }

    pub(crate) fn url(&self) -> String {
        let host = if self.scheme == "https" { "localhost" } else { &self.host.1 };
        format!("{}://{host}:{}", self.scheme, self.client.number())
    }

    pub(crate) fn try_ctl(&self, arguments: &[&str]) -> Option<String> {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").arg("--endpoints").arg(self.url());
        let output = command.args(&self.login).args(arguments).output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    #[track_caller]
    pub(crate) fn ctl(&self, arguments: &[&str]) -> String {
        self.try_ctl(arguments).unwrap_or_else(|| panic!("etcdctl {arguments:?} failed"))
    }

    /// Registers a server for good.
    pub(crate) fn put(&self, name: &str, value: &str) {
        self.ctl(&["put", &format!("/services/app/{name}"), value]);
    }

    pub(crate) fn remove(&self, name: &str) {
        self.ctl(&["del", &format!("/services/app/{name}")]);
    }

    /// A lease of some seconds.
    pub(crate) fn lease(&self, seconds: u32) -> String {
        // lease 694d81417acd4754 granted with TTL(5s)
        let told = self.ctl(&["lease", "grant", &seconds.to_string()]);
        told.split(' ').nth(1).unwrap().to_owned()
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) fn start_again(&mut self) {
        let ports = (&self.client, &self.peer);
        self.process = launch(&self.directory, &self.host, ports, self.scheme, &self.flags);
        self.wait();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send_signal(self.process.id(), signal);
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn launch(
    directory: &Directory,
    (namespace, address): &(Option<String>, String),
    (client, peer): (&Port, &Port),
    scheme: &str,
    flags: &[String],
) -> Child {
    let host = if scheme == "https" { "localhost" } else { address };
    let clients = format!("{scheme}://{address}:{}", client.number());
    let told = format!("{scheme}://{host}:{}", client.number());
    let peers = format!("http://{address}:{}", peer.number());
    let log = File::create(directory.join("etcd.log")).unwrap();
    let mut command = Command::new(if namespace.is_some() { "ip" } else { "etcd" });
    if let Some(namespace) = namespace {
        command.args(["netns", "exec", namespace, "etcd"]);
    }
    command
        .arg("--data-dir")
        .arg(directory.join("data"))
        .args(["--name", "one", "--listen-client-urls", &clients, "--advertise-client-urls", &told])
        .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
        .args(["--initial-cluster", &format!("one={peers}")])
        // The last one counts.
        .args(flags)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}
