//! Upstreams of HTTP/2 that fail: connections that die with many streams, limits that fall, floods,
//! TLS that is not what was asked for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::harness::{
    Certificate, Event, Frame, H2Client, H2Upstream, Peer, Server, Setup, children, code, flag,
    frame_kind, is_nginx, own_memory, request, until,
};

/// The streams of a burst.
const MANY: usize = 100;

fn server(upstream: &H2Upstream, conf: &str) -> Setup {
    Server::http(&format!(
        "http2 on; upstream u {{ server %upstream%; server %upstream% backup; keepalive 8; }}
         server {{ listen 127.0.0.1:%port%; server_name localhost;
           location / {{ proxy_http_version 2; proxy_pass http://u; {conf} }}
           location /own {{ return 200 own; }} }}"
    ))
    .main("worker_processes 1;")
    .set("upstream", upstream.address())
}

fn ok(peer: &mut Peer, stream: u32) {
    peer.fields(stream, &[(":status", "200")], false);
    peer.frame(&Frame::data(stream, "served", true));
}

#[test]
fn a_connection_that_dies_with_many_streams_repeats_what_is_safe() {
    if is_nginx() {
        // It has a stream on a connection.
        return;
    }
    let arrived = Arc::new(Mutex::new(Vec::<String>::new()));
    let seen = Arc::clone(&arrived);
    let upstream = H2Upstream::new(move |peer, number| {
        peer.frame(&Frame::settings(&[]));
        let mut open = 0;
        loop {
            if let Event::Fields { stream, fields, .. } = peer.event()? {
                let value = |name: &str| {
                    let found = fields.iter().find(|(known, _)| known == name);
                    found.map_or(String::new(), |(_, value)| value.clone())
                };
                seen.lock().unwrap().push(format!("{} {}", value(":method"), value(":path")));
                open += 1;
                match number {
                    1 if open == MANY => return Ok(()),
                    1 => {}
                    _ => ok(peer, stream),
                }
            }
        }
    });
    let server = server(&upstream, "proxy_next_upstream_budget off;").start();
    let mut client = H2Client::of(&server);
    let asked: Vec<(u32, bool)> = (0..MANY)
        .map(|at| {
            let is_safe = at % 2 == 0;
            let method = if is_safe { "GET" } else { "POST" };
            (client.open(&request(method, &format!("/{at}"), ""), true), is_safe)
        })
        .collect();
    for (stream, is_safe) in asked {
        let answer = client.answer(stream);
        assert_eq!(answer.status, if is_safe { 200 } else { 502 }, "stream {stream}");
    }
    let mut arrived = arrived.lock().unwrap().clone();
    arrived.sort();
    let twice: Vec<&String> =
        arrived.windows(2).filter(|two| two[0] == two[1]).map(|two| &two[0]).collect();
    assert!(twice.iter().all(|line| line.starts_with("GET")), "{twice:?}");
    assert_eq!(twice.len(), MANY / 2);
    // The server has failed once.
    let log = server.error_log();
    assert_eq!(log.matches("upstream server temporarily disabled").count(), 1);
}

#[test]
fn streams_wait_while_an_upstream_allows_none() {
    if is_nginx() {
        return;
    }
    let most = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&most);
    let upstream = H2Upstream::new(move |peer, number| {
        // The first connection allows none after its first request, and all allow one in the end.
        let first: &[(u16, u32)] = if number == 1 { &[] } else { &[(3, 1)] };
        peer.frame(&Frame::settings(first));
        let mut open = Vec::new();
        loop {
            match peer.event()? {
                Event::Fields { stream, fields, .. } => {
                    if fields.contains(&(":path".to_owned(), "/lower".to_owned())) {
                        peer.frame(&Frame::settings(&[(3, 0)]));
                        peer.fields(stream, &[(":status", "204")], true);
                        peer.frame(&Frame::new(frame_kind::PING, 0, 0, *b"raise it"));
                        continue;
                    }
                    open.push(stream);
                    seen.fetch_max(open.len(), Ordering::Relaxed);
                    // Whatever else is under way comes before the answer to this.
                    peer.frame(&Frame::new(frame_kind::PING, 0, 0, [0; 8]));
                }
                Event::PingAck(mark) if mark == b"raise it" => {
                    peer.frame(&Frame::settings(&[(3, 1)]));
                }
                Event::PingAck(_) => open.drain(..).for_each(|stream| ok(peer, stream)),
                _ => {}
            }
        }
    });
    let server = server(&upstream, "").start();
    let mut client = H2Client::of(&server);
    assert_eq!(client.get("/lower").status, 204);
    let streams: Vec<u32> = (0..30).map(|_| client.ask("/")).collect();
    for stream in streams {
        assert_eq!(client.answer(stream).whole(), (200, "served".to_owned()));
    }
    assert_eq!(most.load(Ordering::Relaxed), 1, "streams at a time on a connection");
}

/// What an upstream has refused is repeated with its body, or not at all.
#[test]
fn a_refused_request_without_its_body_is_not_repeated() {
    const HALF: usize = 150;
    const LENGTH: usize = 2 * HALF;
    for buffering in ["on", "off"] {
        // One refuses each request when all of it has come, the other one takes it.
        let came = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&came);
        let refusing = H2Upstream::new(move |peer, _| {
            peer.frame(&Frame::settings(&[]));
            loop {
                if let Event::Data { stream, bytes, end, .. } = peer.event()? {
                    counted.fetch_add(bytes.len(), Ordering::Relaxed);
                    if end {
                        peer.frame(&Frame::reset(stream, code::REFUSED_STREAM));
                    }
                }
            }
        });
        let whole = Arc::new(Mutex::new(Vec::<usize>::new()));
        let seen = Arc::clone(&whole);
        let taking = H2Upstream::answering(move |peer, stream, _, body| {
            seen.lock().unwrap().push(body.len());
            ok(peer, stream);
        });
        let server = Server::http(&format!(
            "http2 on; proxy_request_buffering {buffering};
             upstream u {{ server %refusing%; server %taking% backup; }}
             server {{ listen 127.0.0.1:%port%; server_name localhost;
               location / {{ proxy_http_version 2; proxy_pass http://u; }} }}"
        ))
        .set("refusing", refusing.address())
        .set("taking", taking.address())
        .start();
        let mut client = H2Client::of(&server);
        let stream = client.open(&request("POST", "/", "content-length: 300"), false);
        client.upload(stream, &[b'x'; HALF], false);
        if buffering == "off" {
            // Then it is no longer here.
            until("a half of the body", || came.load(Ordering::Relaxed) == HALF);
        }
        client.upload(stream, &[b'x'; HALF], true);
        let answer = client.answer(stream);
        let arrived = whole.lock().unwrap().clone();
        assert_eq!(came.load(Ordering::Relaxed), LENGTH);
        let is_repeated = buffering == "on" && !is_nginx();
        assert_eq!(arrived, if is_repeated { vec![LENGTH] } else { Vec::new() }, "{buffering}");
        assert_eq!(answer.status, if is_repeated { 200 } else { 502 }, "{buffering}");
    }
}

/// Nothing tells that a connection is dead but a ping: the peer's machine is gone.
#[test]
fn a_dead_connection_is_found_and_replaced() {
    if is_nginx() {
        // It waits for `proxy_read_timeout`.
        return;
    }
    let pings = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&pings);
    let upstream = H2Upstream::new(move |peer, number| {
        peer.frame(&Frame::settings(&[]));
        loop {
            match peer.event()? {
                Event::Fields { stream, .. } if number > 1 || peer.is_polite => {
                    // The first connection has served a request before it dies.
                    ok(peer, stream);
                    peer.is_polite = number > 1;
                }
                Event::Ping if number == 1 => {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                _ => {}
            }
        }
    });
    let server = server(&upstream, "proxy_read_timeout 10m;").start();
    assert_eq!(server.text("/"), "served");
    let mut client = H2Client::of(&server);
    let get = client.ask("/");
    let post = client.open(&request("POST", "/", ""), true);
    until("a ping", || pings.load(Ordering::Relaxed) == 1);
    // What is safe to repeat is served by another connection, as are new requests.
    assert_eq!(client.answer(get).whole(), (200, "served".to_owned()));
    assert_eq!(client.answer(post).status, 504);
    server.wait_log("upstream timed out (110: Connection timed out) while");
    assert_eq!(server.text("/"), "served");
    assert_eq!(upstream.connections(), 2);
    assert_eq!(pings.load(Ordering::Relaxed), 1);
}

/// The log tells who has ended a stream.
#[test]
fn a_stream_that_ends_by_the_upstreams_fault_is_not_called_rejected() {
    if is_nginx() {
        return;
    }
    let upstream = H2Upstream::new(|peer, _| {
        peer.frame(&Frame::settings(&[]));
        loop {
            if let Event::Fields { stream, fields, .. } = peer.event()? {
                match fields.contains(&(":path".to_owned(), "/reset".to_owned())) {
                    true => peer.frame(&Frame::reset(stream, code::FLOW_CONTROL_ERROR)),
                    false => peer.frame(&Frame::window(stream, i32::MAX as u32)),
                };
            }
        }
    });
    let server = server(&upstream, "proxy_next_upstream off;").start();
    assert_eq!(server.get("/").status, 502);
    server.wait_log("upstream violated flow control for stream 1 while");
    assert!(!server.error_log().contains("rejected"), "{}", server.error_log());
    assert_eq!(server.get("/reset").status, 502);
    server.wait_log("upstream rejected request with error 3 while");
}

#[test]
fn an_upstream_that_resets_everything_harms_nobody_else() {
    let upstream = H2Upstream::new(|peer, _| {
        peer.frame(&Frame::settings(&[]));
        loop {
            if let Event::Fields { stream, .. } = peer.event()? {
                // Some that are open, closed and idle.
                for _ in 0..20 {
                    peer.frame(&Frame::reset(stream, code::INTERNAL_ERROR));
                }
            }
        }
    });
    let server = server(&upstream, "proxy_next_upstream off;").start();
    for _ in 0..20 {
        let mut client = H2Client::of(&server);
        let streams: Vec<u32> = (0..MANY).map(|_| client.ask("/")).collect();
        for stream in streams {
            assert_eq!(client.answer(stream).status, 502);
        }
        assert_eq!(client.get("/own").text(), "own");
    }
}

#[test]
fn floods_of_an_upstream_end_its_connection() {
    if is_nginx() {
        return;
    }
    let floods: [fn(u32) -> Frame; 4] = [
        |_| Frame::settings(&[(4, 70_000)]),
        |_| Frame::new(frame_kind::PING, 0, 0, [0; 8]),
        |stream| Frame::data(stream, [], false),
        |stream| {
            let early = crate::harness::literals(&[(":status", "103")]);
            Frame::new(frame_kind::HEADERS, flag::END_HEADERS, stream, early)
        },
    ];
    for (number, make) in floods.into_iter().enumerate() {
        let upstream = H2Upstream::new(move |peer, _| {
            peer.frame(&Frame::settings(&[]));
            loop {
                if let Event::Fields { stream, .. } = peer.event()? {
                    if number == 2 {
                        peer.fields(stream, &[(":status", "200")], false);
                    }
                    let many = make(stream).bytes().repeat(100);
                    while peer.raw(&many) {}
                    return Ok(());
                }
            }
        });
        let server = server(&upstream, "proxy_next_upstream off;").start();
        let mut client = H2Client::of(&server);
        assert_eq!(client.get("/own").text(), "own");
        let worker = children(server.pid())[0];
        let before = own_memory(worker);
        let stream = client.ask("/");
        let answer = client.answer(stream);
        assert!(answer.status == 502 || !answer.complete, "flood {number}: {answer:?}");
        let grown = own_memory(worker).saturating_sub(before);
        assert!(grown < 16 << 10, "flood {number}: {grown} KiB");
        assert_eq!(client.get("/own").text(), "own");
    }
}

#[test]
fn an_upstream_that_never_acknowledges_settings_serves() {
    let upstream = H2Upstream::new(|peer, _| {
        peer.is_polite = false;
        peer.frame(&Frame::settings(&[]));
        loop {
            if let Event::Fields { stream, .. } = peer.event()? {
                ok(peer, stream);
            }
        }
    });
    let server = server(&upstream, "").start();
    for _ in 0..5 {
        assert_eq!(server.text("/"), "served");
    }
}

/// Servers by TLS with these settings, and what they say to a request.
fn by_tls(protocols: &[&str], conf: &str) -> (u16, String, usize) {
    let setup = Server::http(&format!(
        "server {{ listen 127.0.0.1:%port%; location / {{ proxy_http_version 2; {conf}
           proxy_pass https://%upstream%; }} }}"
    ));
    let made = Certificate::self_signed(setup.directory(), "a", "a.test");
    Certificate::self_signed(setup.directory(), "other", "a.test");
    let read = |name: &str| setup.directory().read(name);
    let (certificate, key) = (read(&made.certificate), read(&made.key));
    let upstream = H2Upstream::tls(&certificate, &key, protocols, |peer, _| {
        peer.frame(&Frame::settings(&[]));
        loop {
            if let Event::Fields { stream, .. } = peer.event()? {
                ok(peer, stream);
            }
        }
    });
    let server = setup.set("upstream", upstream.address()).start();
    let answers: Vec<u16> = (0..3).map(|_| server.get("/").status).collect();
    assert!(answers.windows(2).all(|two| two[0] == two[1]), "{answers:?}");
    (answers[0], server.error_log(), upstream.connections())
}

#[test]
fn tls_without_the_protocol_or_the_certificate_is_a_bad_gateway() {
    let verified = "proxy_ssl_verify on; proxy_ssl_trusted_certificate %dir%/a.crt;
        proxy_ssl_name a.test;";
    let (status, log, _) = by_tls(&["h2"], verified);
    assert_eq!(status, 200, "{log}");
    let (status, log, _) = by_tls(&["h2"], &verified.replace("a.crt", "other.crt"));
    assert_eq!(status, 502);
    assert!(log.contains("upstream SSL certificate verify error"), "{log}");
    let (status, log, _) = by_tls(&["h2"], &verified.replace("_name a.test", "_name b.test"));
    assert_eq!(status, 502);
    assert!(log.contains("upstream SSL certificate does not match \"b.test\""), "{log}");
    if is_nginx() {
        return;
    }
    // The server speaks another protocol, or ends the handshake.
    for protocols in [&["http/1.1"][..], &["h2c"]] {
        let (status, log, _) = by_tls(protocols, "");
        assert_eq!(status, 502, "{log}");
    }
}
