//! What the nodes of a pair have in common.

use super::node::{Node, pair_with};
use crate::harness::{Port, Signal, is_nginx, send_signal, until};

const KEYVAL: &str = "keyval_zone zone=pairs:64k; keyval $arg_key $found zone=pairs;";

const LIMIT: &str = "limit_req_zone $arg_key zone=rate:64k rate=1r/m sync;";

/// A pair with a keyval zone, its pairs shown by `/get?key=`, and the API.
fn pair_with_pairs(port: &Port) -> (Node, Node) {
    let text = format!(
        "{KEYVAL} {LIMIT} server {{ listen %port%; \
         location /get {{ return 200 \"$found;\"; }} \
         location /limited {{ limit_req zone=rate burst=5 nodelay; try_files /none =204; }} \
         location /api {{ api write=on; allow 127.0.0.1; deny all; }} }}"
    );
    pair_with(port, &text)
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
fn pairs_are_told_after_the_mirror_of_configurations_is_switched() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = pair_with_pairs(&port);
    let off = a.server.directory().read("nginx.conf");
    for conf in [off.replace("mirror off;", ""), off] {
        let before = a.lines("exited with code 0");
        a.server.directory().write("nginx.conf", conf);
        a.server.signal(Signal::HUP);
        a.wait_lines("exited with code 0", before + 1);
        let key = format!("key{before}");
        change(&a, "POST", &format!("{{\"{key}\":\"1\"}}"));
        wait_pair(&b, &key, "1");
    }
}
