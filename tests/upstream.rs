//! The choice of a group's server: sequences equal nginx's exactly.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use crate::harness::{Backend, Reply, Server, until};

/// Backends that respond with their letter, and a server with `conf`, in which `%a%`, `%b%` and
/// `%c%` are their addresses.
fn group(conf: &str) -> (Server, Vec<Backend>) {
    let backends: Vec<Backend> = ["a", "b", "c"].into_iter().map(Backend::text).collect();
    let mut setup = Server::http(&format!(
        "{conf} server {{ listen 127.0.0.1:%port%; location / {{ proxy_pass http://u; }} }}"
    ));
    for (name, backend) in ["a", "b", "c"].into_iter().zip(&backends) {
        setup = setup.set(name, backend.address());
    }
    (setup.start(), backends)
}

fn sequence(server: &Server, count: usize) -> String {
    (0..count).map(|n| server.text(&format!("/{n}"))).collect()
}

#[test]
fn smooth_weighted_round_robin() {
    let (server, _backends) = group("upstream u { server %a% weight=5; server %b%; server %c%; }");
    assert_eq!(sequence(&server, 14), "aabacaaaabacaa");
    let (server, _backends) =
        group("upstream u { server %a%; server %b% weight=2; server %c% weight=3; }");
    assert_eq!(sequence(&server, 12), "cbacbccbacbc");
    let (server, _backends) =
        group("upstream u { server %a%; server %b% down; server %c% backup; }");
    assert_eq!(sequence(&server, 4), "aaaa");
}

#[test]
fn an_unrelated_reload_continues_the_sequence() {
    let (server, _backends) = group("upstream u { zone z 64k; server %a%; server %b%; }");
    assert_eq!(sequence(&server, 4), "abab");
}

#[test]
fn ip_hash_and_hash() {
    let (server, _backends) = group("upstream u { ip_hash; server %a%; server %b%; server %c%; }");
    let all = sequence(&server, 6);
    assert_eq!(all, IP_HASH_OF_127_0_0_1.repeat(6));
    let (server, _backends) =
        group("upstream u { hash $uri; server %a%; server %b% weight=2; server %c%; }");
    assert_eq!(sequence(&server, 30), HASH);
}

/// nginx's responses.
const IP_HASH_OF_127_0_0_1: &str = "c";
const HASH: &str = "acbbbbcacaacbbbbcacabbcaacbbbb";

#[test]
fn consistent_hash_moves_few_keys() {
    // The ring depends on the servers' names, so they must be fixed.
    let conf = |servers: &str| {
        format!(
            "upstream u {{ hash $uri consistent; {servers} }}
             server {{ listen 127.0.0.1:%port%; location / {{ proxy_pass http://u; }} }}
             server {{ listen unix:%dir%/a; return 200 a; }}
             server {{ listen unix:%dir%/b; return 200 b; }}
             server {{ listen unix:%dir%/c; return 200 c; }}"
        )
    };
    let three = "server unix:%dir%/a; server unix:%dir%/b; server unix:%dir%/c;";
    let server = Server::http(&conf(three)).start();
    let before = sequence(&server, 60);
    assert_eq!(before, sequence(&server, 60), "a key keeps its server");
    server.rewrite_http(&conf("server unix:%dir%/a; server unix:%dir%/c;"));
    server.signal(crate::harness::Signal::HUP);
    until("the new group", || !sequence(&server, 60).contains('b'));
    let after = sequence(&server, 60);
    for (old, new) in before.chars().zip(after.chars()) {
        assert!(old == new || old == 'b', "only the keys of the removed server move");
    }
}

#[test]
fn least_conn_and_random() {
    let hold = Backend::new(|seen| match seen.target() {
        "/hold" => Reply::hold(),
        _ => Reply::ok("held"),
    });
    let free = Backend::text("free");
    let server = Server::http(
        "upstream u { least_conn; server %hold%; server %free%; }
         upstream r { random two least_conn; server %hold%; server %free%; }
         server { listen 127.0.0.1:%port%; location / { proxy_pass http://u; } location /r {
             proxy_pass http://r; } }",
    )
    .set("hold", hold.address())
    .set("free", free.address())
    .start();
    let mut held = server.client();
    held.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    hold.wait(0);
    for _ in 0..5 {
        assert_eq!(server.text("/"), "free");
    }
    assert_eq!(server.get("/r").status, 200);
}

#[test]
fn ewma_avoids_a_server_that_fails_fast() {
    // The first answer of the good server is slow, which 60 s do not forget.
    let is_first = std::sync::atomic::AtomicBool::new(true);
    let good = Backend::new(move |_| {
        if is_first.swap(false, std::sync::atomic::Ordering::Relaxed) {
            std::thread::sleep(std::time::Duration::from_millis(30));
        }
        Reply::ok("good")
    });
    let bad = Backend::new(|_| Reply::with("503 Service Unavailable", "", "bad"));
    let server = Server::http(
        "upstream u { zone u 64k; ewma tau=60s; server %bad%; server %good%; }
         server { listen 127.0.0.1:%port%; location / { proxy_pass http://u; }
             location /api { api; } }",
    )
    .set("bad", bad.address())
    .set("good", good.address())
    .start();
    let bodies: Vec<String> = (0..120).map(|_| server.text("/")).collect();
    let failed = bodies[60..].iter().filter(|body| *body == "bad").count();
    assert!(failed < 15, "{bodies:?}");
    let group = server.api_get("http/upstreams/u");
    let times = group["peers"].as_array().unwrap().iter().map(|peer| &peer["header_time"]);
    let longest = times.filter_map(serde_json::Value::as_u64).max();
    assert!(longest.is_some_and(|millis| millis < 10_000), "milliseconds: {group}");
}

#[test]
fn failed_servers_are_skipped() {
    let (server, mut backends) =
        group("upstream u { server %a% fail_timeout=1h; server %b%; keepalive 0; }");
    assert_eq!(sequence(&server, 4), "abab");
    backends.remove(0);
    assert_eq!(sequence(&server, 4), "bbbb", "no request fails");
    server.wait_log("connect() failed (111: Connection refused) while connecting to upstream");
    let failures = server.error_log().matches("[error]").count();
    assert_eq!(failures, 1, "a failed server is not retried at once");
}

#[test]
fn a_server_comes_back_after_fail_timeout() {
    let states = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let broken = std::sync::Arc::clone(&states);
    let a = Backend::new(move |_| {
        if broken.load(std::sync::atomic::Ordering::Relaxed) {
            Reply::Last(Vec::new())
        } else {
            Reply::ok("a")
        }
    });
    let b = Backend::text("b");
    let server = Server::http(
        "upstream u { server %a% fail_timeout=1s; server %b%; }
         server { listen 127.0.0.1:%port%; location / { proxy_pass http://u; } }",
    )
    .set("a", a.address())
    .set("b", b.address())
    .start();
    assert_eq!(sequence(&server, 6), "bbbbbb");
    states.store(false, std::sync::atomic::Ordering::Relaxed);
    until("the server to be tried again", || server.text("/") == "a");
}

#[test]
fn backup_and_no_live_upstreams() {
    let (server, mut backends) = group("upstream u { server %a%; server %b% backup; }");
    assert_eq!(sequence(&server, 2), "aa");
    backends.remove(0);
    assert_eq!(sequence(&server, 2), "bb");
    backends.remove(0);
    assert_eq!(server.get("/").status, 502);
    let dead = Server::http(
        "upstream u { server 127.0.0.1:%port_x%; server 127.0.0.1:%port_y%; }
         server { listen 127.0.0.1:%port%; location / { proxy_pass http://u; } }",
    )
    .start();
    assert_eq!(dead.get("/").status, 502);
    assert_eq!(dead.get("/").status, 502);
    dead.wait_log("no live upstreams while connecting to upstream, client: 127.0.0.1, server: ");
}

#[test]
fn max_conns() {
    let hold = Backend::new(|_| Reply::hold());
    let server = Server::http(
        "upstream u { server %hold% max_conns=1; }
         server { listen 127.0.0.1:%port%; location / { proxy_pass http://u; } }",
    )
    .set("hold", hold.address())
    .start();
    let mut held = server.client();
    held.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    hold.wait(0);
    assert_eq!(server.get("/").status, 502);
    assert_eq!(hold.connections(), 1);
}

#[test]
fn connections_to_the_group_are_kept() {
    let (server, backends) = group(
        "upstream u { server %a%; keepalive 4; } proxy_http_version 1.1;
            proxy_set_header Connection \"\";",
    );
    for _ in 0..10 {
        assert_eq!(server.text("/"), "a");
    }
    assert_eq!(backends[0].connections(), 1);
    let (server, backends) = group(
        "upstream u { server %a%; keepalive 4; keepalive_requests 3; } proxy_http_version 1.1;
            proxy_set_header Connection \"\";",
    );
    for _ in 0..9 {
        assert_eq!(server.text("/"), "a");
    }
    assert_eq!(backends[0].connections(), 3);
}

#[test]
fn a_kept_connection_that_died_costs_no_error() {
    let a = Backend::new(|seen| {
        // Promises to keep the connection and closes it after the response.
        let _ = seen;
        Reply::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec())
    });
    let server = Server::http(
        "upstream u { server %a%; keepalive 4; } proxy_http_version 1.1;
            proxy_set_header Connection \"\";
         server { listen 127.0.0.1:%port%; location / { proxy_pass http://u; } }",
    )
    .set("a", a.address())
    .start();
    let mut counts = BTreeMap::new();
    for _ in 0..50 {
        *counts.entry(server.get("/").status).or_insert(0) += 1;
    }
    assert_eq!(counts, BTreeMap::from([(200, 50)]));
}

#[test]
fn a_kept_connection_that_dies_under_a_request_costs_no_error() {
    let a = Backend::new(|_| {
        Reply::Custom(Box::new(|stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            // Reads the next request on the connection and closes.
            let _ = stream.read(&mut [0; 4096]);
        }))
    });
    let server = Server::http(
        "upstream u { server %a%; keepalive 4; } proxy_http_version 1.1;
            proxy_set_header Connection \"\";
         server { listen 127.0.0.1:%port%; location / { proxy_pass http://u; } }",
    )
    .set("a", a.address())
    .start();
    for _ in 0..10 {
        assert_eq!(server.text("/"), "ok");
    }
}
