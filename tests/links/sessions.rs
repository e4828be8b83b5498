//! Learned sessions of one node of a pair on the other.

use super::node::Node;
use super::*;
use crate::harness::{Backend, Port, Reply, Signal, is_nginx, send_signal, until};

/// A server that begins a session with each request without one.
fn server(name: &'static str) -> Backend {
    Backend::new(move |seen| match seen.target().strip_prefix("/begin/") {
        Some(id) => Reply::with("200 OK", &format!("Set-Cookie: sid={id}\r\n"), name),
        None => Reply::ok(name),
    })
}

fn load(node: &Node, servers: &[&Backend], zone: &str, port: &Port) {
    let servers: String = servers.iter().map(|it| format!("server {};", it.address())).collect();
    let conf = format!(
        "upstream u {{
             zone u 64k; {servers}
             sticky learn create=$upstream_cookie_sid lookup=$cookie_sid zone={zone} timeout=1h;
         }}
         server {{ listen 127.0.0.1:%port%; location / {{ proxy_pass http://u; }} }}"
    );
    let generations = node.lines("generation");
    node.server.rewrite_with(&conf, &node::ha(port));
    node.server.signal(Signal::HUP);
    node.wait_lines("generation", generations + 1);
}

/// Begins a session; returns its server.
fn begin(node: &Node, id: &str) -> String {
    node.server.text(&format!("/begin/{id}"))
}

/// The answers to some requests of a session, which others would have of all servers in turn.
fn answers(node: &Node, id: &str) -> Vec<String> {
    let cookie = format!("Cookie: sid={id}\r\n");
    (0..6).map(|_| node.server.get_with("/", &cookie).text()).collect()
}

#[track_caller]
fn wait_bound(node: &Node, id: &str, server: &str) {
    until(&format!("session {id} is bound to {server}"), || {
        answers(node, id).iter().all(|name| name == server)
    });
}

#[test]
fn a_session_goes_on_with_the_other_node() {
    if is_nginx() {
        return;
    }
    let (one, two) = (server("one"), server("two"));
    let port = Port::reserve();
    let (a, b) = pair(&port);
    for node in [&a, &b] {
        load(node, &[&one, &two], "s:64k", &port);
    }
    for id in ["x", "y", "z"] {
        let server = begin(&a, id);
        wait_bound(&b, id, &server);
    }
    let server = begin(&b, "w");
    wait_bound(&a, "w", &server);
    // One that nobody has begun is bound to no server.
    let of_nobody = answers(&b, "unknown");
    assert!(of_nobody.iter().any(|name| *name != of_nobody[0]), "{of_nobody:?}");
    // It moves to another server on both.
    let moved = until_moved(&a, "x");
    wait_bound(&b, "x", &moved);
}

/// Begins a session anew until it is with another server.
fn until_moved(node: &Node, id: &str) -> String {
    let before = answers(node, id).pop().unwrap();
    let mut server = String::new();
    until("the session moves", || {
        server = begin(node, id);
        server != before
    });
    server
}

#[test]
fn sessions_come_back_from_the_partner() {
    if is_nginx() {
        return;
    }
    let (one, two, three) = (server("one"), server("two"), server("three"));
    let port = Port::reserve();
    let (mut a, b) = pair(&port);
    for node in [&a, &b] {
        load(node, &[&one, &two], "s:64k", &port);
    }
    let x = begin(&a, "x");
    wait_bound(&b, "x", &x);
    // A killed worker leaves no sessions; its successor has them from the other node.
    send_signal(a.worker(), Signal::KILL);
    wait_bound(&a, "x", &x);
    // So has a node that was away, with those that it missed.
    a.server.pause();
    let y = begin(&b, "y");
    a.server.resume();
    wait_bound(&a, "x", &x);
    wait_bound(&a, "y", &y);
    // The nodes do not see each other for a while.
    let worker = b.worker();
    let down = "link to node \"b\" is down: nothing has come from it";
    let before = a.lines(down);
    send_signal(worker, Signal::STOP);
    let z = begin(&a, "z");
    a.wait_lines(down, before + 1);
    send_signal(worker, Signal::CONT);
    wait_bound(&b, "z", &z);
    // Another zone begins empty here, and is filled by what the nodes know.
    load(&a, &[&one, &two], "t:128k", &port);
    wait_bound(&a, "x", &x);
    wait_bound(&a, "y", &y);
    // A server that only one node has is no fault on the other.
    load(&a, &[&one, &two, &three], "t:128k", &port);
    let mut id = 0;
    until("a session with the third server", || {
        id += 1;
        begin(&a, &format!("id{id}")) == "three"
    });
    let session = format!("id{id}");
    until("the session at b", || {
        let names = answers(&b, &session);
        names.iter().all(|name| *name == names[0])
    });
    assert!(answers(&b, &session).iter().all(|name| name != "three"));
}
