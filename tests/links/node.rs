//! A node on a loopback address.

use std::process::{Command, Output};

use crate::harness::{Port, Server, Setup, Signal, binary, until, until_some};

/// A server with an `ha` block for nodes "a" and "b", and the commands on its host.
pub(crate) struct Node {
    pub(crate) server: Server,
}

/// The configuration of a node.
fn setup(port: &Port) -> Setup {
    let location = "location / { return 200 here; } location = /kept { return 200 kept; }";
    Server::server(location).main(&ha(port)).alerts_expected()
}

/// The `ha` block.
pub(crate) fn ha(port: &Port) -> String {
    let port = port.number();
    format!("ha {{ node a 127.0.0.1; node b 127.0.0.2; link_port {port}; mirror off; }}")
}

/// Runs `weir ha` on a host that has the folder of `setup`.
pub(super) fn weir(prefix: &std::path::Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.arg("ha").args(arguments).arg("-p").arg(format!("{}/", prefix.display()));
    command.args(["-c", "nginx.conf", "-e", "error.log"]).output().unwrap()
}

/// The text of a command that succeeds.
#[track_caller]
fn text(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The token in the output of `weir ha init`.
#[track_caller]
pub(super) fn token(text: &str) -> String {
    let mut words = text.split_whitespace();
    words.find(|word| word.starts_with("weir-join-")).expect(text).to_owned()
}

impl Node {
    /// A first node, with its token.
    pub(super) fn first(port: &Port) -> (Self, String) {
        let setup = setup(port);
        // Only the start fills the configuration in.
        setup.directory().write("nginx.conf", format!("events {{}} {}", ha(port)));
        let out = text(&weir(setup.directory().path(), &["init", "a"]));
        (Self { server: setup.start() }, token(&out))
    }

    /// A second node.
    pub(super) fn second(port: &Port, token: &str) -> Self {
        let setup = setup(port);
        setup.directory().write("nginx.conf", format!("events {{}} {}", ha(port)));
        let out = text(&weir(setup.directory().path(), &["join", token, "b"]));
        assert!(out.starts_with("This node is \"b\" and has joined node \"a\".\n"), "{out}");
        Self { server: setup.start() }
    }

    /// A running server that is no node yet.
    pub(super) fn unlinked(port: &Port) -> Self {
        Self { server: setup(port).start() }
    }

    /// A host that has only the configuration.
    pub(super) fn bare(port: &Port) -> Setup {
        let setup = setup(port);
        setup.directory().write("nginx.conf", format!("events {{}} {}", ha(port)));
        setup
    }

    /// The output of a command that succeeds on this host.
    #[track_caller]
    pub(super) fn says(&self, arguments: &[&str]) -> String {
        text(&weir(self.server.directory().path(), arguments))
    }

    /// Waits until the status shows a text.
    #[track_caller]
    pub(super) fn wait_status(&self, wanted: &str) {
        let path = self.server.directory().path();
        let mut shown = String::new();
        until(&format!("\"{wanted}\" in the status"), || {
            shown = String::from_utf8_lossy(&weir(path, &["status"]).stdout).into_owned();
            shown.contains(wanted)
        });
    }

    /// The status as JSON.
    pub(super) fn status(&self) -> serde_json::Value {
        let path = self.server.directory().path();
        until_some("a status", || {
            serde_json::from_slice(&weir(path, &["status", "--json"]).stdout).ok()
        })
    }

    /// The number of lines in the error log with this text.
    pub(crate) fn lines(&self, text: &str) -> usize {
        self.server.error_log().matches(text).count()
    }

    /// Waits until there are so many lines with this text.
    #[track_caller]
    pub(crate) fn wait_lines(&self, text: &str, count: usize) {
        until(&format!("{count} lines with \"{text}\""), || self.lines(text) >= count);
    }

    /// The process of the worker.
    pub(super) fn worker(&self) -> u32 {
        let master = self.server.pid();
        until_some("a worker", || crate::harness::children(master).first().copied())
    }
}

/// The error of a command that fails on a host.
#[track_caller]
pub(super) fn refusal(setup: &Setup, arguments: &[&str]) -> String {
    let output = weir(setup.directory().path(), arguments);
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A pair whose link is up.
pub(crate) fn pair(port: &Port) -> (Node, Node) {
    let (a, token) = Node::first(port);
    let b = Node::second(port, &token);
    a.wait_status("link to b: up");
    b.wait_status("link to a: up");
    (a, b)
}

/// The same with this text inside `http { }`.
pub(super) fn pair_with(port: &Port, http: &str) -> (Node, Node) {
    let (a, b) = pair(port);
    for node in [&a, &b] {
        node.server.rewrite_with(http, &ha(port));
        node.server.signal(Signal::HUP);
        node.wait_lines("generation 1 exited", 1);
    }
    (a, b)
}
