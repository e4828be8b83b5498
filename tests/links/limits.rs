//! Limits that two nodes keep together.

use std::time::{Duration, Instant};

use super::node::{Node, pair_with};
use crate::harness::{Backend, Client, Port, Reply, Signal, is_nginx, send_signal, until};

/// The rate of the limit, in requests a second, and its burst.
const RATE: f64 = 100.0;
const BURST: f64 = 50.0;

/// The length of a measurement: some seconds, or as many as `docs/howto/pair.md` tells of.
fn length() -> Duration {
    let seconds = std::env::var("WEIR_LIMIT_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(2))
}

/// A pair with a limit of requests.
fn limited_pair(port: &Port) -> (Node, Node) {
    pair_with(
        port,
        "limit_req_zone $arg_key zone=rate:64k rate=100r/s sync; limit_req_log_level info;
         server { listen %port%; location / {
             limit_req zone=rate burst=50 nodelay; try_files /none =204; } }",
    )
}

/// What became of the requests of a client on a kept connection.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    passed: f64,
    all: f64,
}

/// Asks a node on a kept connection, with so much time between two requests.
fn ask(node: &Node, key: &str, pause: Duration, end: Instant) -> Asked {
    let mut client = node.server.client();
    let mut asked = Asked::default();
    while Instant::now() < end {
        // A kept connection ends after 1000 requests.
        if asked.all as u64 % 900 == 899 {
            client = node.server.client();
        }
        asked.all += 1.0;
        match client.get(&format!("/?key={key}")).status {
            204 => asked.passed += 1.0,
            503 => {}
            other => panic!("status {other}"),
        }
        std::thread::park_timeout(pause);
    }
    asked
}

/// Has each node asked, with its own pause, and tells what passed on each and how long it took.
fn measure(nodes: &[(&Node, Duration)], key: &str) -> (Vec<Asked>, f64) {
    let started = Instant::now();
    let end = started + length();
    let asked = std::thread::scope(|scope| {
        let threads =
            nodes.iter().map(|&(node, pause)| scope.spawn(move || ask(node, key, pause, end)));
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    (asked, started.elapsed().as_secs_f64())
}

/// Both admit the rate together, whichever of them the requests reach.
#[test]
fn two_nodes_admit_the_rate_together() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = limited_pair(&port);
    let downs = || a.lines("is down") + b.lines("is down");
    for (name, pauses) in [("even", [2, 2]), ("uneven", [1, 25])] {
        let [on_a, on_b] = pauses.map(Duration::from_millis);
        let mut turn = 0;
        // Nodes that lose each other on a busy machine admit the rate each, so another key has its
        // turn then.
        until("a measurement of linked nodes", || {
            a.wait_status("link to b: up");
            turn += 1;
            let before = downs();
            let (asked, took) = measure(&[(&a, on_a), (&b, on_b)], &format!("{name}{turn}"));
            let passed = asked.iter().map(|asked| asked.passed).sum::<f64>();
            let all = asked.iter().map(|asked| asked.all).sum::<f64>();
            println!("{name}: {asked:?}: {:.1} of {:.0} r/s", passed / took, all / took);
            if downs() > before {
                return false;
            }
            // Each node has the burst until the first news; apart, they would admit the rate twice.
            assert!(passed < 1.25 * RATE * took + 2.0 * BURST, "{asked:?} in {took} s");
            // Clients that have few turns on a busy machine leave some of the rate.
            let is_busy = all > 4.0 * RATE * took;
            assert!(!is_busy || passed > 0.75 * RATE * took, "{asked:?} in {took} s");
            true
        });
    }
}

/// While its partner is away, a node admits the whole rate, and not its share.
#[test]
fn a_node_alone_admits_the_whole_rate() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, mut b) = limited_pair(&port);
    b.server.pause();
    a.wait_status("link to b: down");
    let mut turn = 0;
    until("a measurement with a client that has its turns", || {
        turn += 1;
        let (asked, took) = measure(&[(&a, Duration::from_millis(1))], &format!("key{turn}"));
        let Asked { passed, all } = asked[0];
        println!("alone: {:.1} of {:.0} r/s", passed / took, all / took);
        assert!(passed < 1.05 * RATE * took + BURST, "{asked:?} in {took} s");
        passed > 0.9 * RATE * took
    });
    b.server.resume();
}

/// Connections of one node count on the other, for as long as they are open and it is there.
#[test]
fn connections_of_both_nodes_count_in_a_shared_limit() {
    if is_nginx() {
        return;
    }
    let backend = Backend::new(|seen| match seen.target().starts_with("/hold") {
        true => Reply::hold(),
        false => Reply::ok("ok"),
    });
    let port = Port::reserve();
    let text = "limit_conn_zone $arg_key zone=open:64k sync; limit_conn_log_level info;
        server { listen %port%; limit_conn open 2; location / { proxy_pass http://%backend%; } }";
    let (a, b) = pair_with(&port, &text.replace("%backend%", &backend.address()));
    let hold = |node: &Node, key: &str| -> Client {
        let mut client = node.server.client();
        client.send(format!("GET /hold?key={key} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client
    };
    let held = |count: usize| until("held requests", || backend.count() >= count);
    let status = |node: &Node, key: &str| node.server.get(&format!("/?key={key}")).status;
    let first = [hold(&a, "x"), hold(&a, "x")];
    held(2);
    assert_eq!(status(&a, "x"), 503);
    until("a's connections count on b", || status(&b, "x") == 503);
    assert_eq!(status(&b, "y"), 200, "another key");
    drop(first);
    until("closed connections do not count", || status(&b, "x") == 200);

    // One on each.
    let before = backend.count();
    let _second = [hold(&a, "z"), hold(&b, "z")];
    held(before + 2);
    until("both count on a", || status(&a, "z") == 503);
    until("both count on b", || status(&b, "z") == 503);
    // A node that hangs is away, and its connections do not count until it is back.
    send_signal(a.worker(), Signal::STOP);
    until("b is alone", || status(&b, "z") == 200);
    send_signal(a.worker(), Signal::CONT);
    until("a is back with its connection", || status(&b, "z") == 503);
    // A killed worker's connections are closed.
    send_signal(a.worker(), Signal::KILL);
    until("a has been killed", || status(&b, "z") == 200);
    a.wait_lines("link to node \"b\" is up", 3);
    until("b's connection counts on the new a", || {
        let more = hold(&a, "z");
        let is_full = status(&a, "z") == 503;
        drop(more);
        is_full
    });
}
