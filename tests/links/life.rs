//! The life of a pair's links.

use super::node::ha;
use super::*;
use crate::harness::{Port, Signal, is_nginx, send_signal, until};

#[test]
fn a_pair_is_made_of_two_commands_and_ended_by_one() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, mut b) = pair(&port);
    a.server.wait_log("node \"b\" has joined from 127.0.0.1");
    let (of_a, of_b) = (a.says(&["peers"]), b.says(&["peers"]));
    let digest = |text: &str, name: &str| {
        let mut lines = text.lines();
        let line = lines.find(|line| line.starts_with(&format!("{name} sha256:"))).unwrap();
        line.split(' ').nth(1).unwrap().to_owned()
    };
    for name in ["a", "b"] {
        assert_eq!(digest(&of_a, name), digest(&of_b, name), "both know the same certificates");
    }
    // Each node shows what the other one says of itself every second.
    until("b's status at a", || a.status()["links"]["links"][0]["status"]["generation"] == 1);
    let status = a.status();
    assert_eq!(status["links"]["node"], "a");
    let age = status["links"]["status"]["uptime"].as_u64().unwrap();
    assert!((1..3_600_000).contains(&age), "{age} ms");
    let left = b.says(&["leave"]);
    assert!(left.contains("Node \"a\" has forgotten this node.\n"), "{left}");
    a.server.wait_log("node \"b\" has left the pair");
    b.wait_lines("link to node \"a\" is down", 1);
    assert_eq!(a.says(&["peers"]).lines().count(), 1);
    b.wait_status("no links to other nodes");
    assert_eq!(b.server.text("/"), "here");
    // Not even a start brings it back.
    assert!(left.contains("take the \"ha\" block out of "), "{left}");
    b.server.pause();
    b.server.resume();
    b.wait_lines("this node has left the pair (\"weir ha leave\")", 1);
    b.wait_status("no links to other nodes");
    assert_eq!(b.server.text("/"), "here");
}

/// The channel from the master to a worker that does not read is full, and still it learns who is
/// no partner any more.
#[test]
fn an_identity_waits_for_a_worker_that_does_not_read() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = pair(&port);
    let worker = a.worker();
    send_signal(worker, Signal::STOP);
    // A message takes some 800 bytes of a buffer of 208 KiB.
    let default = std::fs::read_to_string("/proc/sys/net/core/wmem_default").unwrap();
    let enough = default.trim().parse::<usize>().unwrap() / 500;
    for count in 1..=enough {
        a.server.signal(Signal::USR1);
        a.wait_lines("reopening logs", count);
    }
    a.says(&["forget", "b"]);
    send_signal(worker, Signal::CONT);
    b.wait_lines("it does not know this node's certificate", 1);
    a.server.wait_log("127.0.0.2 has no certificate that is pinned here");
    assert_eq!((a.lines("could not be sent"), a.worker()), (0, worker));
}

#[test]
fn a_link_outlives_reloads_and_comes_back_after_a_kill() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = pair(&port);
    let up = "link to node \"b\" is up";
    assert_eq!(a.lines(up), 1);
    for number in 1..=3 {
        a.server.signal(Signal::HUP);
        a.wait_lines("generation", number);
    }
    // The files differ now: the partner shows it, and the link stays.
    a.server.rewrite_with("server { listen 127.0.0.1:%port%; return 200 new; }", &ha(&port));
    a.server.signal(Signal::HUP);
    until("the new configuration", || a.server.text("/") == "new");
    b.wait_status("the configuration of a differs from this node's");
    assert_eq!((a.lines(up), a.lines("is down")), (1, 0));
    // A worker that is killed has a successor, which dials again.
    send_signal(a.worker(), Signal::KILL);
    a.wait_lines(up, 2);
    b.wait_status("link to a: up");
    // A worker that hangs is noticed by its silence.
    let worker = b.worker();
    send_signal(worker, Signal::STOP);
    a.wait_lines("link to node \"b\" is down: nothing has come from it for 3 s", 1);
    send_signal(worker, Signal::CONT);
    a.wait_lines(up, 3);
    a.wait_status("link to b: up");
}

#[test]
fn a_new_port_takes_effect_by_a_reload_of_both() {
    if is_nginx() {
        return;
    }
    let (port, other) = (Port::reserve(), Port::reserve());
    let (a, b) = pair(&port);
    let conf = "server { listen 127.0.0.1:%port%; return 200 new; }";
    for node in [&a, &b] {
        node.server.rewrite_with(conf, &ha(&other));
        node.server.signal(Signal::HUP);
    }
    for (node, name) in [(&a, "b"), (&b, "a")] {
        node.wait_lines(&format!("link to node \"{name}\" is up"), 2);
        node.wait_status(&format!("link to {name}: up"));
    }
    assert!(std::net::TcpStream::connect(("127.0.0.1", port.number())).is_err());
}

#[test]
fn a_forgotten_node_gets_no_link() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = pair(&port);
    let out = a.says(&["forget", "b"]);
    assert!(out.starts_with("Node \"b\" is forgotten"), "{out}");
    b.wait_lines("link to node \"a\" is down", 1);
    a.server.wait_log("127.0.0.2 has no certificate that is pinned here");
    b.server.wait_log("it does not know this node's certificate");
    // It joins again with another token, and keeps its name.
    let token = node::token(&a.says(&["init"]));
    b.says(&["join", &token, "b"]);
    a.wait_status("link to b: up");
    b.wait_status("link to a: up");
}

#[test]
fn rights_of_others_are_refused_at_the_start() {
    use std::os::unix::fs::PermissionsExt;
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, _) = Node::first(&port);
    let key = a.server.directory().join("state/ha/key.pem");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    a.server.signal(Signal::HUP);
    a.server.wait_log("may be used by others (mode 0644): run \"chmod go= ");
    assert_eq!(a.server.text("/"), "here", "the old configuration serves on");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    a.server.signal(Signal::HUP);
    a.wait_lines("generation 1 exited", 1);
}
