//! Servers that are changed at run time, as the nodes of a pair have them in common.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::node::{Node, ha};
use super::*;
use crate::harness::{Client, Port, Signal, api_call, is_nginx, send_signal, until};

const LIST: &str = "http/upstreams/u/servers";

const LINES: &str = "server 127.0.0.1:1; server 127.0.0.1:2; server 127.0.0.1:3;";

/// Puts an upstream in force on a node whose links use a port.
fn reload(node: &Node, port: &Port, upstream: &str) {
    let text = format!(
        "{upstream} server {{ listen %port%; location /api {{ api write=on; }} \
         location / {{ return 200 here; }} }}"
    );
    let before = node.lines("exited with code 0");
    node.server.rewrite_with(&text, &ha(port));
    node.server.signal(Signal::HUP);
    node.wait_lines("exited with code 0", before + 1);
}

/// An upstream with these lines.
fn upstream(lines: &str) -> String {
    format!("upstream u {{ zone u 256k; {lines} }}")
}

/// A pair with an upstream on both nodes.
fn pair_with(port: &Port, lines: &str) -> (Node, Node) {
    let (a, b) = pair(port);
    for node in [&a, &b] {
        let folder = node.server.directory().join("run");
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
        reload(node, port, &upstream(lines));
    }
    (a, b)
}

/// The servers of a node.
fn list(node: &Node) -> Vec<Value> {
    node.server.api_get(LIST).as_array().unwrap().clone()
}

fn text(server: &Value) -> String {
    let mut text = server["server"].as_str().unwrap().to_owned();
    for (name, default) in [("weight", 1), ("max_conns", 0), ("max_fails", 1)] {
        if server[name] != default {
            text += &format!(" {name}={}", server[name]);
        }
    }
    for mark in ["backup", "drain", "down"] {
        if server[mark] == true {
            text += &format!(" {mark}");
        }
    }
    text
}

/// The servers of a node with what is not as by default, by address.
fn servers(node: &Node) -> Vec<String> {
    let mut all: Vec<String> = list(node).iter().map(text).collect();
    all.sort();
    all
}

/// Waits until both nodes have these servers, by address.
#[track_caller]
fn wait_both(a: &Node, b: &Node, wanted: &[&str]) {
    let seen = std::cell::RefCell::new((Vec::new(), Vec::new()));
    let is_so = || {
        *seen.borrow_mut() = (servers(a), servers(b));
        let (of_a, of_b) = &*seen.borrow();
        of_a == wanted && of_b == wanted
    };
    let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| until("", is_so)));
    assert!(waited.is_ok(), "{:?} instead of {wanted:?}", seen.borrow());
}

/// Waits until the nodes share no servers.
#[track_caller]
fn wait_no_records(a: &Node, b: &Node) {
    wait_records(a, b, 0);
}

/// Waits until the nodes share records of so many servers, besides the key of session tickets and
/// what each tells of it.
#[track_caller]
fn wait_records(a: &Node, b: &Node, servers: u64) {
    for node in [a, b] {
        let count = || node.status()["links"]["mirror"]["records"].clone();
        until("the records", || count() == 3 + servers);
    }
}

fn number(node: &Node, address: &str) -> u64 {
    let all = list(node);
    let found = all.iter().find(|server| server["server"] == address);
    found.unwrap_or_else(|| panic!("no {address} in {all:?}"))["id"].as_u64().unwrap()
}

fn add(node: &Node, server: Value) -> u64 {
    node.server.api_json("POST", LIST, &server, 201)["id"].as_u64().unwrap()
}

fn change(node: &Node, address: &str, change: Value) {
    let path = format!("{LIST}/{}", number(node, address));
    node.server.api_json("PATCH", &path, &change, 200);
}

fn remove(node: &Node, address: &str) {
    let path = format!("{LIST}/{}", number(node, address));
    node.server.api_json("DELETE", &path, &Value::Null, 200);
}

/// Waits until a node answers, by another worker than `pid`.
fn wait_worker(node: &Node, pid: u64) {
    until("a worker", || {
        let address = node.server.address("port");
        let Ok(mut client) = Client::try_connect(&address) else { return false };
        client.send_if_wanted(api_call("GET", "nginx", ""));
        let Ok(answer) = client.try_response(false) else { return false };
        let said = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
        said["pid"].as_u64().is_some_and(|now| now != pid)
    });
}

fn kill_worker(node: &Node) {
    let pid = node.server.api_get("nginx")["pid"].as_u64().unwrap();
    send_signal(u32::try_from(pid).unwrap(), Signal::KILL);
    wait_worker(node, pid);
}

/// Cuts the link: this node uses another port.
fn cut(a: &Node, b: &Node, other: &Port, lines: &str) {
    reload(a, other, &upstream(lines));
    a.wait_status("link to b: down");
    b.wait_status("link to a: down");
}

fn heal(a: &Node, b: &Node, port: &Port, lines: &str) {
    reload(a, port, &upstream(lines));
    a.wait_status("link to b: up");
    b.wait_status("link to a: up");
}

#[test]
fn servers_of_one_node_are_those_of_the_other() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = pair_with(&port, LINES);
    let four = add(&a, json!({"server": "127.0.0.1:4", "weight": 3, "backup": true}));
    change(&a, "127.0.0.1:2", json!({"drain": true, "max_conns": 7}));
    wait_both(
        &a,
        &b,
        &[
            "127.0.0.1:1",
            "127.0.0.1:2 max_conns=7 drain",
            "127.0.0.1:3",
            "127.0.0.1:4 weight=3 backup",
        ],
    );
    assert_eq!(number(&b, "127.0.0.1:4"), four, "a number is one on both nodes");
    change(&b, "127.0.0.1:2", json!({"drain": false, "down": true}));
    remove(&b, "127.0.0.1:4");
    let five = add(&b, json!({"server": "127.0.0.1:5"}));
    assert_ne!(five, four);
    wait_both(
        &a,
        &b,
        &["127.0.0.1:1", "127.0.0.1:2 max_conns=7 down", "127.0.0.1:3", "127.0.0.1:5"],
    );
    // By its number, on the other node.
    a.server.api_json("PATCH", &format!("{LIST}/{five}"), &json!({"server": "127.0.0.1:6"}), 200);
    wait_both(
        &a,
        &b,
        &["127.0.0.1:1", "127.0.0.1:2 max_conns=7 down", "127.0.0.1:3", "127.0.0.1:6"],
    );
    assert_eq!(number(&b, "127.0.0.1:6"), five);
}

#[test]
fn no_answered_change_is_lost_when_both_nodes_change() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = pair_with(&port, LINES);
    let count = 30;
    std::thread::scope(|scope| {
        for (node, first, parameter) in [(&a, 100, "weight"), (&b, 200, "max_conns")] {
            scope.spawn(move || {
                for round in 0..count {
                    add(node, json!({"server": format!("127.0.0.1:{}", first + round)}));
                    // Another parameter of the same server on each node.
                    change(node, "127.0.0.1:1", json!({ parameter: round + 10 }));
                }
            });
        }
    });
    let last = count + 9;
    let mut wanted = vec![format!("127.0.0.1:1 weight={last} max_conns={last}")];
    wanted.extend([2, 3].map(|port| format!("127.0.0.1:{port}")));
    wanted
        .extend((0..count).flat_map(|it| [100 + it, 200 + it]).map(|it| format!("127.0.0.1:{it}")));
    wanted.sort();
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    wait_both(&a, &b, &wanted);
    let numbers = |node: &Node| -> Vec<(String, u64)> {
        let all = list(node);
        all.iter().map(|it| (text(it), it["id"].as_u64().unwrap())).collect()
    };
    assert_eq!(numbers(&a), numbers(&b));
}

#[test]
fn edits_on_both_sides_of_a_cut_are_there_when_it_has_healed() {
    if is_nginx() {
        return;
    }
    let (port, other) = (Port::reserve(), Port::reserve());
    let (a, b) = pair_with(&port, LINES);
    change(&a, "127.0.0.1:1", json!({"max_fails": 2}));
    add(&b, json!({"server": "127.0.0.1:4", "weight": 4}));
    wait_both(
        &a,
        &b,
        &["127.0.0.1:1 max_fails=2", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4 weight=4"],
    );
    cut(&a, &b, &other, LINES);
    change(&a, "127.0.0.1:1", json!({"weight": 5}));
    remove(&a, "127.0.0.1:2");
    change(&a, "127.0.0.1:3", json!({"weight": 6}));
    change(&a, "127.0.0.1:4", json!({"weight": 7}));
    // What a killed worker knew of the order of edits is left as well.
    kill_worker(&a);
    change(&b, "127.0.0.1:1", json!({"drain": true}));
    change(&b, "127.0.0.1:2", json!({"down": true}));
    change(&b, "127.0.0.1:3", json!({"weight": 8}));
    add(&b, json!({"server": "127.0.0.1:5"}));
    heal(&a, &b, &port, LINES);
    wait_both(
        &a,
        &b,
        &[
            "127.0.0.1:1 weight=5 max_fails=2 drain",
            "127.0.0.1:3 weight=8",
            "127.0.0.1:4 weight=7",
            "127.0.0.1:5",
        ],
    );
}

#[test]
fn a_node_that_was_away_has_what_the_other_has() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, mut b) = pair_with(&port, LINES);
    change(&a, "127.0.0.1:1", json!({"down": true}));
    let four = add(&a, json!({"server": "127.0.0.1:4"}));
    wait_both(&a, &b, &["127.0.0.1:1 down", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4"]);
    // Without a file, it begins with the lines.
    b.server.pause();
    change(&a, "127.0.0.1:1", json!({"down": false, "weight": 2}));
    remove(&a, "127.0.0.1:2");
    b.server.resume();
    wait_both(&a, &b, &["127.0.0.1:1 weight=2", "127.0.0.1:3", "127.0.0.1:4"]);
    assert_eq!(number(&b, "127.0.0.1:4"), four);
    // Killed workers on both, at once and one after the other.
    let pids = [&a, &b].map(|node| node.server.api_get("nginx")["pid"].as_u64().unwrap());
    pids.iter().for_each(|pid| send_signal(u32::try_from(*pid).unwrap(), Signal::KILL));
    [&a, &b].iter().zip(pids).for_each(|(node, pid)| wait_worker(node, pid));
    change(&b, "127.0.0.1:3", json!({"drain": true}));
    kill_worker(&b);
    change(&a, "127.0.0.1:4", json!({"weight": 4}));
    kill_worker(&a);
    wait_both(&a, &b, &["127.0.0.1:1 weight=2", "127.0.0.1:3 drain", "127.0.0.1:4 weight=4"]);
}

#[test]
fn an_older_state_file_overwrites_nothing() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let state = "state %dir%/run/u.state;";
    let (mut a, mut b) = pair_with(&port, state);
    for number in 1..=4 {
        add(&a, json!({"server": format!("127.0.0.1:{number}")}));
    }
    wait_both(&a, &b, &["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4"]);
    b.server.pause();
    remove(&a, "127.0.0.1:1");
    change(&a, "127.0.0.1:2", json!({"weight": 2}));
    add(&a, json!({"server": "127.0.0.1:5"}));
    // This one restarts as well, and nobody else has seen its edits.
    a.server.pause();
    a.server.resume();
    let of_a = list(&a);
    b.server.resume();
    let wanted = ["127.0.0.1:2 weight=2", "127.0.0.1:3", "127.0.0.1:4", "127.0.0.1:5"];
    wait_both(&a, &b, &wanted);
    assert_eq!((list(&a), list(&b)), (of_a.clone(), of_a));
    let lines = |node: &Node| -> Vec<String> {
        let file = node.server.directory().read("run/u.state");
        file.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    };
    until("the files", || lines(&a)[0] == "server 127.0.0.1:2 weight=2;" && lines(&b) == lines(&a));
    // A file that is lost comes back, whole.
    b.server.pause();
    std::fs::remove_file(b.server.directory().join("run/u.state")).unwrap();
    b.server.resume();
    wait_both(&a, &b, &wanted);
    assert_eq!(list(&a), list(&b));
}

#[test]
fn lines_that_change_drop_edits_on_both_nodes() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = pair_with(&port, LINES);
    wait_no_records(&a, &b);
    change(&a, "127.0.0.1:1", json!({"weight": 5}));
    remove(&b, "127.0.0.1:2");
    add(&b, json!({"server": "127.0.0.1:4"}));
    let edited = ["127.0.0.1:1 weight=5", "127.0.0.1:3", "127.0.0.1:4"];
    wait_both(&a, &b, &edited);
    // A reload that leaves the lines alone.
    for node in [&a, &b] {
        reload(node, &port, &upstream(&format!("least_conn; {LINES}")));
    }
    wait_both(&a, &b, &edited);
    // One that changes them, first on one node.
    let others = format!("{LINES} server 127.0.0.1:9 backup;");
    reload(&a, &port, &upstream(&others));
    assert_eq!(servers(&b), edited);
    change(&b, "127.0.0.1:3", json!({"down": true}));
    change(&a, "127.0.0.1:1", json!({"max_conns": 6}));
    reload(&b, &port, &upstream(&others));
    let fresh = ["127.0.0.1:1 max_conns=6", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:9 backup"];
    wait_both(&a, &b, &fresh);
    // A node that came back before would find the edits of one that is about to leave them.
    wait_records(&a, &b, 1);
    // Back to the first lines, on both: nothing of them has been kept anywhere.
    for node in [&a, &b] {
        reload(node, &port, &upstream(LINES));
    }
    // Whatever comes comes before this.
    add(&a, json!({"server": "127.0.0.1:7"}));
    wait_both(&a, &b, &["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:7"]);
    add(&b, json!({"server": "127.0.0.1:8"}));
    wait_both(&a, &b, &["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:7", "127.0.0.1:8"]);
    // A group that was removed for a while has no edits either.
    for node in [&a, &b] {
        reload(node, &port, "");
    }
    wait_no_records(&a, &b);
    for node in [&a, &b] {
        reload(node, &port, &upstream(LINES));
    }
    change(&b, "127.0.0.1:3", json!({"weight": 3}));
    wait_both(&a, &b, &["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3 weight=3"]);
}

#[test]
fn a_group_of_one_node_waits_for_the_other() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = pair_with(&port, LINES);
    let more = "upstream v { zone v 64k; server 127.0.0.1:1; }";
    reload(&a, &port, &format!("{} {more}", upstream(LINES)));
    let v = "http/upstreams/v/servers";
    a.server.api_json("PATCH", &format!("{v}/0"), &json!({"weight": 7}), 200);
    a.server.api_json("POST", v, &json!({"server": "127.0.0.1:2"}), 201);
    // Without a zone there, and then with one.
    reload(&b, &port, &format!("{} {}", upstream(LINES), more.replace("zone v 64k;", "")));
    change(&a, "127.0.0.1:1", json!({"weight": 2}));
    wait_both(&a, &b, &["127.0.0.1:1 weight=2", "127.0.0.1:2", "127.0.0.1:3"]);
    reload(&b, &port, &format!("{} {more}", upstream(LINES)));
    until("the servers", || b.server.api_get(v) == a.server.api_get(v));
    assert_eq!(b.server.api_get(v).as_array().unwrap().len(), 2);
    assert_eq!(a.server.api_get(v)[0]["weight"], 7);
}

#[test]
fn what_a_source_lists_is_marked_on_both_nodes() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = pair_with(&port, LINES);
    let with = "server 127.0.0.1:1; discover file %dir%/run/list;";
    for (node, list) in [(&a, "127.0.0.1:5\n127.0.0.1:6\n"), (&b, "127.0.0.1:6\n")] {
        node.server.directory().write("run/list", list);
        reload(node, &port, &upstream(with));
        until("the list", || servers(node).len() == list.lines().count() + 1);
    }
    change(&a, "127.0.0.1:5", json!({"drain": true}));
    change(&a, "127.0.0.1:6", json!({"weight": 4}));
    until("the weight", || servers(&b) == ["127.0.0.1:1", "127.0.0.1:6 weight=4"]);
    b.server.directory().write("run/new", "127.0.0.1:5\n127.0.0.1:6\n");
    let folder = b.server.directory().join("run");
    std::fs::rename(folder.join("new"), folder.join("list")).unwrap();
    wait_both(&a, &b, &["127.0.0.1:1", "127.0.0.1:5 drain", "127.0.0.1:6 weight=4"]);
    kill_worker(&b);
    change(&b, "127.0.0.1:5", json!({"drain": false}));
    wait_both(&a, &b, &["127.0.0.1:1", "127.0.0.1:5", "127.0.0.1:6 weight=4"]);
}
