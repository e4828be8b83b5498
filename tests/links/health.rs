//! What the checks of one node of a pair mean for the other.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};

use super::node::Node;
use super::*;
use crate::harness::{Backend, PATIENCE, Port, Reply, Signal, is_nginx, send_signal, until};

/// The answers to probes, by node and server; no probe is answered before there is one.
#[derive(Clone, Default)]
struct Answers(Arc<(Mutex<ByNode>, Condvar)>);

/// Statuses by node and server.
type ByNode = HashMap<(String, char), u16>;

impl Answers {
    fn set(&self, node: &str, server: char, status: u16) {
        self.0.0.lock().unwrap().insert((node.to_owned(), server), status);
        self.0.1.notify_all();
    }

    /// Waits for an answer; a server that is asked for too long fails.
    fn of(&self, node: &str, server: char) -> u16 {
        let key = (node.to_owned(), server);
        let answers = self.0.0.lock().unwrap();
        let waiting = self.0.1.wait_timeout_while(answers, PATIENCE, |all| !all.contains_key(&key));
        waiting.unwrap().0.get(&key).copied().unwrap_or(500)
    }

    fn server(&self, name: char) -> Backend {
        let answers = self.clone();
        Backend::new(move |seen| match (seen.target(), seen.header("X-Node")) {
            ("/health", Some(node)) => {
                Reply::with(&format!("{} X", answers.of(node, name)), "", "probed")
            }
            _ => Reply::ok(name.to_string()),
        })
    }
}

/// The configuration of a node with these servers.
fn conf(node: &str, servers: &[&Backend]) -> String {
    let servers: String = servers.iter().map(|it| format!("server {};", it.address())).collect();
    format!(
        "upstream u {{ zone u 64k; {servers} }}
         server {{
             listen 127.0.0.1:%port%;
             proxy_next_upstream off;
             location / {{ proxy_pass http://u; }}
             location = /check {{
                 internal;
                 proxy_read_timeout 1h;
                 proxy_set_header X-Node {node};
                 proxy_pass http://u;
                 health_check uri=/health interval=20ms mandatory;
             }}
             location /api {{ api write=on; }}
         }}"
    )
}

fn load(node: &Node, conf: &str, port: &Port) {
    let generations = node.lines("generation");
    node.server.rewrite_with(conf, &node::ha(port));
    node.server.signal(Signal::HUP);
    node.wait_lines("generation", generations + 1);
}

/// The names of the servers that answer, or the status.
fn answering(node: &Node) -> String {
    let mut names: Vec<String> = (0..8)
        .map(|_| {
            let answer = node.server.get("/");
            if answer.status == 200 { answer.text() } else { answer.status.to_string() }
        })
        .collect();
    names.sort();
    names.dedup();
    names.concat()
}

#[track_caller]
fn wait_answering(node: &Node, wanted: &str) {
    let mut now = String::new();
    until(&format!("answers of {wanted}"), || {
        now = answering(node);
        now == wanted
    });
}

/// The states of the servers in the API, and their numbers of checks.
fn states(node: &Node) -> Vec<(String, u64)> {
    let group = node.server.api_get("http/upstreams/u");
    let peers = group["peers"].as_array().unwrap().iter();
    let state = |peer: &serde_json::Value| {
        let checks = peer["health_checks"]["checks"].as_u64().unwrap();
        (peer["state"].as_str().unwrap().to_owned(), checks)
    };
    peers.map(state).collect()
}

#[test]
fn a_fresh_node_begins_with_what_its_partner_has_found_and_then_finds_itself() {
    if is_nginx() {
        return;
    }
    let answers = Answers::default();
    let (one, two) = (answers.server('1'), answers.server('2'));
    answers.set("a", '1', 200);
    answers.set("a", '2', 500);
    let port = Port::reserve();
    let (a, mut b) = pair(&port);
    load(&b, &conf("b", &[&one, &two]), &port);
    // Its checks are not answered, and nobody else has made any.
    assert_eq!(answering(&b), "502");
    load(&a, &conf("a", &[&one, &two]), &port);
    wait_answering(&a, "1");
    wait_answering(&b, "1");
    let of_two = format!("server {} in upstream \"u\"", two.address());
    b.server.wait_log(&format!("{of_two} is unhealthy, as other nodes have found"));
    assert_eq!(states(&b), [("up".to_owned(), 0), ("unhealthy".to_owned(), 0)]);

    // A killed worker has no findings of its own to leave, and its successor hears of them again.
    send_signal(b.worker(), Signal::KILL);
    b.wait_lines("as other nodes have found", 3);
    wait_answering(&b, "1");
    // Nor has a node that starts.
    b.server.pause();
    b.server.resume();
    wait_answering(&b, "1");
    assert_eq!(states(&b), [("up".to_owned(), 0), ("unhealthy".to_owned(), 0)]);
    // What was found does not go with a partner that goes.
    let mut a = a;
    let ended = "link to node \"a\" is down";
    let before = b.lines(ended);
    a.server.pause();
    b.wait_lines(ended, before + 1);
    assert_eq!(answering(&b), "1");
    a.server.resume();
    wait_answering(&a, "1");

    // A reload with another server.
    let three = answers.server('3');
    let both: [&Backend; 3] = [&one, &two, &three];
    load(&b, &conf("b", &both), &port);
    answers.set("a", '3', 200);
    load(&a, &conf("a", &both), &port);
    wait_answering(&b, "13");

    // The node's own checks are answered now, and differ.
    answers.set("b", '1', 500);
    answers.set("b", '2', 200);
    answers.set("b", '3', 200);
    wait_answering(&b, "23");
    wait_answering(&a, "13");
    assert!(states(&b).iter().all(|(_, checks)| *checks > 0));
    // They stay what they are, whatever the partner finds next.
    answers.set("a", '1', 500);
    answers.set("a", '3', 500);
    wait_answering(&a, "502");
    answers.set("a", '2', 200);
    wait_answering(&a, "2");
    assert_eq!(answering(&b), "23");
    assert_eq!(states(&b).iter().filter(|(state, _)| state == "up").count(), 2);
}
