//! Streamed responses, and mirrored requests.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::harness::{Backend, Client, Reply, Server, is_nginx};
use crate::proxy::proxied;

/// Sends events, each when a byte arrives on another connection.
fn events(kind: &'static str) -> (Backend, impl Fn()) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let trigger = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    trigger.set_nodelay(true).unwrap();
    let (receiver, _) = listener.accept().unwrap();
    let backend = Backend::new(move |_| {
        let mut receiver = receiver.try_clone().unwrap();
        Reply::Custom(Box::new(move |stream| {
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
            for event in 1.. {
                if !matches!(receiver.read(&mut [0]), Ok(1)) {
                    return;
                }
                let event = format!("data: foo {event}\n\n");
                if stream.write_all(event.as_bytes()).is_err() {
                    return;
                }
            }
        }))
    });
    (backend, move || {
        let _ = (&trigger).write_all(b"x");
    })
}

/// Reads chunks until their data has this end.
fn until_end(client: &mut Client, end: &[u8]) {
    let mut data = Vec::new();
    while !data.ends_with(end) {
        data.extend(client.take_chunk());
    }
}

/// The end of a compressor's flushed output (RFC 1951: an empty stored block).
const FLUSHED: &[u8] = b"\x00\x00\xff\xff";

#[test]
fn filters_flush_when_the_upstream_pauses() {
    if is_nginx() {
        // nginx waits until its buffers are full.
        return;
    }
    for (conf, gzip) in [
        ("gzip on; gzip_types *;", true),
        ("gzip on; gzip_types *; postpone_gzipping 1k;", true),
        ("sub_filter foo bar; sub_filter_types *; sub_filter_once off;", false),
        (
            "gzip on; gzip_types *; sub_filter foo bar; sub_filter_types *; ssi on; ssi_types *;",
            true,
        ),
    ] {
        let (backend, next) = events("text/event-stream");
        let server =
            proxied(&backend, &format!("{conf} location / {{ proxy_pass http://%backend%; }}"));
        let mut client = server.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
        next();
        let head = client.head();
        assert_eq!(head.header("Content-Encoding"), gzip.then_some("gzip"), "{conf}");
        for event in 1..4 {
            match gzip {
                true => until_end(&mut client, FLUSHED),
                false => until_end(&mut client, format!("data: bar {event}\n\n").as_bytes()),
            }
            next();
        }
    }
}

#[test]
fn a_rate_limits_only_buffered_responses() {
    let body = vec![b'x'; 60_000];
    let backend = Backend::new(move |_| Reply::ok(&body));
    let server = proxied(
        &backend,
        "proxy_buffering off;
         location /client { limit_rate 1; proxy_pass http://%backend%; }
         location /upstream { proxy_limit_rate 1; proxy_pass http://%backend%; }",
    );
    // With the rate, each would take most of a day.
    assert_eq!(server.get("/client").body.len(), 60_000);
    assert_eq!(server.get("/upstream").body.len(), 60_000);
}

#[test]
fn a_mirror_gets_no_body_beyond_its_limit() {
    let (backend, copies) = (Backend::echo(), Backend::text("copy"));
    let server = Server::server(
        "location / { mirror /copy; proxy_pass http://%backend%; }
         location /small { mirror /small-copy; proxy_pass http://%backend%; }
         location /none { mirror /copy; mirror_request_body off; proxy_pass http://%backend%; }
         location = /copy { internal; proxy_pass http://%copies%/copy; }
         location = /small-copy { internal; client_max_body_size 4; proxy_pass http://%copies%; }",
    )
    .set("backend", backend.address())
    .set("copies", copies.address())
    .start();
    let send = |target: &str, body: &str| {
        let length = body.len();
        let lines = format!("Content-Length: {length}\r\nConnection: close\r\n");
        server.ask(format!("POST {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}")).status
    };
    assert_eq!(send("/small", "hello"), 200);
    server.wait_log("client intended to send too large body: 5 bytes");
    assert_eq!(send("/small", "four"), 200);
    assert_eq!(copies.wait(0).body, b"four");
    assert_eq!(send("/", "hello"), 200);
    assert_eq!(copies.wait(1).body, b"hello");
    if !is_nginx() {
        // An omitted body is not announced.
        assert_eq!(send("/none", "hello"), 200);
        assert_eq!(copies.wait(2).header("Content-Length"), Some("0"));
    }
}
