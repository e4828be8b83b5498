//! What the nodes of a pair have in common.

use super::configuration::{self, conf, mirrored};
use super::node::Node;
use super::*;
use crate::harness::{Port, Signal, is_nginx, send_signal, until};

const KEYVAL: &str = "keyval_zone zone=pairs:64k; keyval $arg_key $found zone=pairs;";

const LIMIT: &str = "limit_req_zone $arg_key zone=rate:64k rate=1r/m sync;";

/// A pair with a keyval zone, its pairs shown by `/get?key=`, and the API.
fn pair_with_pairs(port: &Port) -> (Node, Node) {
    let (a, b) = pair(port);
    for (node, count) in [(&a, 1), (&b, 1)] {
        let text = format!(
            "{KEYVAL} {LIMIT} server {{ listen %port%; \
             location /get {{ return 200 \"$found;\"; }} \
             location /limited {{ limit_req zone=rate burst=5 nodelay; try_files /none =204; }} \
             location /api {{ api write=on; allow 127.0.0.1; deny all; }} }}"
        );
        node.server.rewrite_with(&text, &node::ha(port));
        node.server.signal(Signal::HUP);
        node.wait_lines("generation", count);
        until("the zone", || node.server.text("/get?key=none") == ";");
    }
    (a, b)
}

fn change(node: &Node, method: &str, body: &str) {
    let head = format!("{method} /api/9/http/keyvals/pairs HTTP/1.1\r\nHost: a\r\n");
    let length = body.len();
    let request = format!("{head}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    let answer = node.server.ask(request);
    assert!((200..300).contains(&answer.status), "{}", answer.text());
}

fn wait_pair(node: &Node, key: &str, value: &str) {
    let wanted = format!("{value};");
    until(&format!("{key} is {value}"), || node.server.text(&format!("/get?key={key}")) == wanted);
}

#[test]
fn pairs_of_one_node_are_those_of_the_other() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = pair_with_pairs(&port);
    change(&a, "POST", r#"{"x":"1"}"#);
    wait_pair(&b, "x", "1");
    change(&b, "PATCH", r#"{"x":"2"}"#);
    wait_pair(&a, "x", "2");
    change(&b, "POST", r#"{"y":"3"}"#);
    wait_pair(&a, "y", "3");
    // A killed worker's successor has what the other node has learnt meanwhile.
    send_signal(a.worker(), Signal::KILL);
    change(&b, "PATCH", r#"{"y":null}"#);
    change(&b, "POST", r#"{"z":"4"}"#);
    for (key, value) in [("x", "2"), ("y", ""), ("z", "4")] {
        wait_pair(&a, key, value);
        wait_pair(&b, key, value);
    }
}

#[test]
fn requests_of_both_nodes_count_in_a_shared_limit() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = pair_with_pairs(&port);
    let limited = |node: &Node, key: &str| node.server.get(&format!("/limited?key={key}")).status;
    // A link that breaks on a busy machine loses counts, so another key has its turn then.
    let mut turn = 0;
    until("b refuses what a has used up", || {
        turn += 1;
        let key = format!("key{turn}");
        let on_a: Vec<u16> = (0..7).map(|_| limited(&a, &key)).collect();
        assert_eq!(on_a, [204, 204, 204, 204, 204, 204, 503]);
        // Counts are told before later changes.
        for marker in ["first", "second"] {
            let marker = format!("{marker}{turn}");
            change(&a, "POST", &format!("{{\"{marker}\":\"1\"}}"));
            wait_pair(&b, &marker, "1");
        }
        limited(&b, &key) == 503
    });
    assert_eq!(limited(&b, "other"), 204);
}

#[test]
fn a_mirror_that_begins_anew_carries_on() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = mirrored(&port);
    b.wait_lines("mirror: version 1 of a of the configuration is in force", 1);
    // Without its configuration a node has another mirror, of the same records.
    let off = conf(&port, "$found").replace("local local.conf;", "local local.conf; mirror off;");
    let off = off.replace("http {", &format!("http {{ {KEYVAL}"));
    for node in [&a, &b] {
        let local = node.server.directory().read("local.conf");
        let api = "location /api { api write=on; allow 127.0.0.1; deny all; } location / {";
        node.server.directory().write("local.conf", local.replace("location / {", api));
        let before = node.lines("exited with code 0");
        configuration::change(node, &off);
        node.wait_lines("exited with code 0", before + 1);
    }
    let ask = |node: &Node, method: &str, body: &str| {
        let head = "/api/9/http/keyvals/pairs HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
        let length = body.len();
        let request = format!("{method} {head}Content-Length: {length}\r\n\r\n{body}");
        configuration::ask(node, &request)
    };
    for (method, body, from, to) in
        [("POST", r#"{"x":"1"}"#, &a, &b), ("PATCH", r#"{"x":"2"}"#, &b, &a)]
    {
        ask(from, method, body);
        until(body, || ask(to, "GET", "") == body);
    }
}
