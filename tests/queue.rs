//! `queue`: requests wait while no server can take them.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use crate::harness::{Backend, Client, Reply, Server, Signal, until};

/// A backend that answers one request for each message.
fn gated() -> (Backend, Sender<()>) {
    let (open, gate) = channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let backend = Backend::new(move |seen| {
        let (gate, target) = (Arc::clone(&gate), seen.target().to_owned());
        Reply::Custom(Box::new(move |stream| {
            let _ = gate.lock().unwrap().recv();
            let length = target.len();
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            let _ = std::io::Write::write_all(stream, format!("{head}{target}").as_bytes());
        }))
    });
    (backend, open)
}

const LOCATIONS: &str = "log_format queue '$request_uri $status $upstream_queue_time';
     server { listen 127.0.0.1:%port%; request_records on slow=off sample=100%;
         location / { proxy_pass http://u; access_log %dir%/queue.log queue; }
         location /api { api write=on; request_records off; } }";

/// A server with an upstream of one server for one request at a time.
fn server(backend: &Backend, queue: &str) -> Server {
    let upstream = format!("upstream u {{ zone u 64k; server %gated% max_conns=1; {queue} }}");
    let conf = format!("{upstream} {LOCATIONS}");
    Server::http(&conf).main("worker_processes 2;").set("gated", backend.address()).start()
}

fn send(server: &Server, target: &str) -> Client {
    let mut client = server.client();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    client
}

/// Waits until so many requests are in the queue.
#[track_caller]
fn queued(server: &Server, count: usize) {
    let wanted = format!("{{\"size\":{count},");
    until("requests in the queue", || {
        server.text("/api/9/http/upstreams/u?fields=queue").contains(&wanted)
    });
}

#[test]
fn requests_wait_in_the_order_of_their_coming() {
    let (backend, open) = gated();
    let server = server(&backend, "queue 10;");
    let mut clients = vec![send(&server, "/0")];
    backend.wait(0);
    for number in 1..6 {
        clients.push(send(&server, &format!("/{number}")));
        queued(&server, number);
    }
    // Whatever thread a client is on, the next in line has its turn.
    for (number, mut client) in clients.into_iter().enumerate() {
        assert_eq!(backend.wait(number).target(), format!("/{number}"));
        assert_eq!(backend.count(), number + 1, "one at a time");
        open.send(()).unwrap();
        assert_eq!(client.response().text(), format!("/{number}"));
    }
    let lines = server.wait_lines("queue.log", 6);
    assert!(lines.contains(&"/0 200 -".to_owned()), "{lines:?}");
    let waited = lines.iter().find_map(|line| line.strip_prefix("/5 200 "));
    assert!(waited.is_some_and(|time| time.parse::<f64>().is_ok()), "{lines:?}");
    until("the records", || server.api_get("http/request_records/").as_array().unwrap().len() == 6);
    let records = server.api_get("http/request_records/");
    let ids = records.as_array().unwrap().iter().map(|record| record["id"].as_str().unwrap());
    let records = ids.map(|id| server.api_get(&format!("http/request_records/{id}")));
    let attempts: Vec<_> = records.map(|mut record| record["attempts"][0].take()).collect();
    let times = attempts.iter().map(|it| (it["queued"].as_u64(), it["ended"].as_u64()));
    let queued: Vec<_> = times.filter(|(queued, _)| queued.is_some()).collect();
    assert_eq!(queued.len(), 5, "{attempts:?}");
    // The wait is in whole milliseconds of its own clock.
    let is_within = |(queued, ended): &(Option<u64>, Option<u64>)| {
        queued.zip(*ended).is_some_and(|(queued, ended)| queued <= ended + 2_000)
    };
    assert!(queued.iter().all(is_within), "{attempts:?}");
}

#[test]
fn a_full_queue_and_a_late_server_are_a_502() {
    let (backend, open) = gated();
    let server = server(&backend, "queue 1 timeout=60s;");
    let mut first = send(&server, "/first");
    backend.wait(0);
    let mut second = send(&server, "/second");
    queued(&server, 1);
    assert_eq!(server.get("/third").status, 502);
    server.wait_log("upstream queue is full while connecting to upstream");
    let shown = server.text("/api/9/http/upstreams/u");
    assert!(
        shown.contains("{\"size\":1,\"max_size\":1,\"overflows\":1,\"timeouts\":0,"),
        "{shown}"
    );
    server.rewrite_http(&format!(
        "upstream u {{ zone u 64k; server {} max_conns=1; queue 5 timeout=10ms; }} {LOCATIONS}",
        backend.address()
    ));
    server.signal(Signal::HUP);
    // The server stays full over the reload, which the threads see one after the other.
    until("the new timeout", || {
        assert_eq!(server.get("/late").status, 502);
        server.error_log().contains("upstream queue timed out while connecting to upstream")
    });
    until("a line with the time", || server.directory().read("queue.log").contains("/late 502 0."));
    // And the request that has waited since before it has its turn.
    open.send(()).unwrap();
    assert_eq!(first.response().text(), "/first");
    open.send(()).unwrap();
    assert_eq!(second.response().text(), "/second");
}

#[test]
fn who_leaves_gives_up_the_place() {
    let (backend, open) = gated();
    let server = server(&backend, "queue 2;");
    let mut first = send(&server, "/first");
    backend.wait(0);
    let gone = send(&server, "/gone");
    queued(&server, 1);
    let mut last = send(&server, "/last");
    queued(&server, 2);
    drop(gone);
    queued(&server, 1);
    server.wait_log("client prematurely closed connection");
    open.send(()).unwrap();
    assert_eq!(first.response().text(), "/first");
    open.send(()).unwrap();
    assert_eq!(last.response().text(), "/last");
    assert_eq!(backend.count(), 2);
}

#[test]
fn a_changed_group_serves_those_who_wait() {
    let (backend, _open) = gated();
    let server = server(&backend, "queue 2;");
    let _held = send(&server, "/held");
    backend.wait(0);
    let mut waiting = send(&server, "/waiting");
    queued(&server, 1);
    let other = Backend::text("other");
    let body = format!("{{\"server\":\"{}\"}}", other.address());
    assert_eq!(server.api("POST", "http/upstreams/u/servers", &body).status, 201);
    assert_eq!(waiting.response().text(), "other");
}
