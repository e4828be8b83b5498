//! Linked nodes that are reloaded, upgraded and taken out under load, with WebSockets.

use super::linked::{Answer, answer_to, changes_of, linked, with_change};
use super::node::{Node, wait_served_by};
use super::websocket::{Echo, WebSocket, location};
use super::*;
use crate::harness::{Signal, send_signal, until_some};

/// Writes a pair by the API of a node.
#[track_caller]
fn write(node: &Node<'_>, key: &str, value: &str) {
    let body = serde_json::json!({ key: value }).to_string();
    until("a written pair", || {
        let answer = node.ask("POST", "/api/9/http/keyvals/pairs", &body);
        // An answer may be lost with its connection.
        answer.is_some_and(|(status, _)| status == 201 || status == 409)
    });
}

#[track_caller]
fn wait_pair(node: &Node<'_>, key: &str, value: &str) {
    let wanted = format!("\"{key}\":\"{value}\"");
    until(&format!("{wanted} on {}", node.name()), || {
        let answer = node.ask("GET", "/api/9/http/keyvals/pairs", "");
        answer.is_some_and(|(_, body)| body.replace(' ', "").contains(&wanted))
    });
}

/// Waits until the links of all nodes are up.
#[track_caller]
fn wait_links(nodes: &[Node<'_>]) {
    for node in nodes {
        until(&format!("the links of {}", node.name()), || {
            node.links().is_some_and(|links| {
                links["links"].as_array().unwrap().iter().all(|link| link["up"] == true)
            })
        });
    }
}

/// Changes the configuration at a node until a change is acknowledged, which may take a second one
/// while links come and go. It is in force on both then. Changes are numbered from `first`.
#[track_caller]
fn change(nodes: &[Node<'_>], at: usize, first: u32) {
    let node = &nodes[at];
    let mut last = first;
    until("an acknowledged change", || {
        last += 1;
        let before = node.log().len();
        node.put("nginx.conf", &with_change(&node.read("nginx.conf"), last));
        send_signal(node.pid(), Signal::HUP);
        until_some("an answer", || answer_to(node, last, before)) == Answer::Acknowledged
    });
    for node in nodes {
        until(&format!("change {last} on {}", node.name()), || {
            let answer = node.ask("GET", "/changes", "");
            answer.is_some_and(|(_, changes)| changes_of(&changes).contains(&last))
        });
    }
}

/// No request since `from` has failed.
#[track_caller]
fn assert_good(what: &str, asking: &Asking, from: Instant) {
    let attempts = asking.between(from, Instant::now());
    let errors: Vec<_> = attempts.iter().filter_map(|one| one.answer.as_ref().err()).collect();
    assert!(errors.is_empty(), "{what}: {} of {}: {errors:?}", errors.len(), attempts.len());
    assert!(!attempts.is_empty(), "{what}: no requests");
}

/// A reload on one node, which changes both, costs neither a request nor a WebSocket.
#[test]
fn websockets_outlive_the_reload_of_the_pair_and_its_upgrade() {
    let Some((network, directory)) = hosts(2) else { return };
    network.in_front(|| {
        let echo = Echo::start();
        let mut nodes = linked(&network, &directory, 2, &location(&echo));
        wait_links(&nodes);
        nodes[0].wait_holds(ADDRESS);
        let asking = Asking::start(&format!("{ADDRESS}:80"));
        asking.wait_for("a");

        let start = Instant::now();
        let talking = WebSocket::open().keep_talking();
        for (at, number) in [(0, 100), (1, 200), (0, 300)] {
            change(&nodes, at, number);
        }
        let (socket, messages) = talking.end().expect("the WebSocket outlives the reload");
        assert!(messages > 3, "{messages} messages");
        assert_good("reload", &asking, start);

        // Through the upgrade it lives in the old worker, which ends with it.
        let start = Instant::now();
        let talking = socket.keep_talking();
        write(&nodes[0], "before", "1");
        wait_pair(&nodes[1], "before", "1");
        upgrade(&mut nodes[1]);
        wait_links(&nodes);
        wait_pair(&nodes[1], "before", "1");
        let old = upgrade_begins(&mut nodes[0]);
        asking.wait_for("a");
        wait_links(&nodes);
        for (at, key) in [(0, "of a"), (1, "of b")] {
            write(&nodes[at], key, "2");
        }
        for node in &nodes {
            for (key, value) in [("before", "1"), ("ofa", "2"), ("ofb", "2")] {
                wait_pair(node, key, value);
            }
        }
        change(&nodes, 0, 400);
        change(&nodes, 1, 500);
        let (mut socket, _) = talking.end().expect("the WebSocket outlives the upgrade");
        socket.talk().unwrap();
        drop(socket);
        until("the end of the old master", || !nodes[0].processes("weir: ").contains(&old));
        nodes[0].wait_alone();
        assert_good("upgrade", &asking, start);
        assert!(nodes[0].holds(ADDRESS) && !nodes[1].holds(ADDRESS));
    });
}

/// Starts the new binary, and has the old one end as soon as the new worker serves. Returns the old
/// master, which may take its time.
fn upgrade_begins(node: &mut Node<'_>) -> u32 {
    let (old, guard) = (node.pid(), node.process("weir: guard"));
    send_signal(old, Signal::USR2);
    until("the new binary", || ![0, old].contains(&node.pid_of_new()));
    wait_served_by(node.pid_of_new());
    send_signal(old, Signal::QUIT);
    node.adopt_new();
    assert_eq!(node.process("weir: guard"), guard, "the guard stays");
    old
}

fn upgrade(node: &mut Node<'_>) {
    let old = upgrade_begins(node);
    until("the end of the old master", || !node.processes("weir: ").contains(&old));
    node.wait_alone();
}

/// A planned takeover cuts WebSockets, as `docs/howto/pair.md` tells: the client learns of it by
/// its next message. The node that goes does not wait for it.
#[test]
fn a_planned_takeover_cuts_websockets() {
    let Some((network, directory)) = hosts(2) else { return };
    network.in_front(|| {
        let echo = Echo::start();
        let mut nodes = linked(&network, &directory, 2, &location(&echo));
        wait_links(&nodes);
        nodes[0].wait_holds(ADDRESS);
        let asking = Asking::start(&format!("{ADDRESS}:80"));
        asking.wait_for("a");
        let mut socket = WebSocket::open();
        socket.talk().unwrap();
        let start = Instant::now();
        nodes[0].quit();
        nodes[0].wait_gone();
        asking.wait_for("b");
        assert!(socket.talk().is_err(), "the connection does not move");
        assert_good("takeover", &asking, start);
    });
}
