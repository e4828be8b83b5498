//! HTTP/2 to upstreams: `proxy_http_version 2` and `grpc_pass`.

use std::sync::{Arc, Mutex};

use crate::harness::{
    Certificate, Event, Frame, H2Client, H2Upstream, Peer, Server, Setup, code, is_nginx, request,
};

/// A server of both versions whose `location /` has this text; `%upstream%` is the address.
fn server(upstream: &H2Upstream, conf: &str) -> Setup {
    Server::http(&format!(
        "http2 on; upstream u {{ server %upstream%; keepalive 8; }}
         server {{ listen 127.0.0.1:%port%; server_name localhost; location / {{ {conf} }} }}"
    ))
    .set("upstream", upstream.address())
}

const PROXY: &str = "proxy_http_version 2; proxy_pass http://u;";
const GRPC: &str = "grpc_pass grpc://u;";

/// Whether the body has this line.
fn has(text: &str, line: &str) -> bool {
    text.lines().any(|other| other == line)
}

#[test]
fn requests_become_streams() {
    let upstream = H2Upstream::echo();
    let server = server(&upstream, PROXY).start();
    let text = server.text("/a?b=c");
    for line in [":method: GET", ":scheme: http", ":path: /a?b=c", ":authority: u"] {
        assert!(has(&text, line), "{line}: {text}");
    }
    for name in ["connection:", "host:", "transfer-encoding:", "keep-alive:", "te:"] {
        assert!(!text.contains(&format!("\n{name}")), "{name}: {text}");
    }
    let body = "b".repeat(200_000);
    let answer = H2Client::of(&server).post("/", "", body.as_bytes());
    assert_eq!(answer.status, 200);
    assert!(answer.text().ends_with(&format!("\n\n{body}")));
}

#[test]
fn a_host_that_is_set_becomes_the_authority() {
    let upstream = H2Upstream::echo();
    let server = server(&upstream, &format!("{PROXY} proxy_set_header Host a.test;")).start();
    let text = server.text("/");
    assert!(has(&text, ":authority: a.test") && !text.contains("\nhost:"), "{text}");
}

#[test]
fn a_kept_connection_is_used_again() {
    let upstream = H2Upstream::echo();
    let server = server(&upstream, PROXY).start();
    for _ in 0..5 {
        assert_eq!(server.get("/").status, 200);
    }
    assert_eq!(upstream.connections(), 1);
}

/// Answers no request before `count` are open.
fn gathering(count: usize) -> H2Upstream {
    H2Upstream::new(move |peer, _| {
        peer.frame(&Frame::settings(&[]));
        let mut open = Vec::new();
        loop {
            if let Event::Fields { stream, .. } = peer.event()? {
                open.push(stream);
            }
            if open.len() == count {
                for stream in open.drain(..) {
                    peer.fields(stream, &[(":status", "200")], false);
                    peer.frame(&Frame::data(stream, "together", true));
                }
            }
        }
    })
}

#[test]
fn requests_of_one_client_share_a_connection() {
    if is_nginx() {
        // It sends one request at a time on a connection.
        return;
    }
    let upstream = gathering(50);
    let server = server(&upstream, PROXY).start();
    let mut client = H2Client::of(&server);
    let streams: Vec<u32> = (0..50).map(|_| client.ask("/")).collect();
    for stream in streams {
        assert_eq!(client.answer(stream).whole(), (200, "together".to_owned()));
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn the_most_streams_of_an_upstream_are_kept() {
    if is_nginx() {
        return;
    }
    let beyond = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&beyond);
    let upstream = H2Upstream::new(move |peer, _| {
        peer.frame(&Frame::settings(&[(3, 2)]));
        let (mut open, mut is_told) = (Vec::new(), false);
        loop {
            match peer.event()? {
                Event::Fields { stream, .. } if open.len() == 2 => {
                    // Before the settings are known, that is no fault of the client's.
                    *seen.lock().unwrap() += usize::from(is_told);
                    peer.frame(&Frame::reset(stream, code::REFUSED_STREAM));
                }
                Event::Fields { stream, .. } => {
                    open.push(stream);
                    peer.frame(&Frame::new(6, 0, 0, [0; 8]));
                }
                // No more are under way then.
                Event::PingAck(_) => {
                    for stream in open.drain(..) {
                        peer.fields(stream, &[(":status", "204")], true);
                    }
                }
                Event::SettingsAck => is_told = true,
                _ => {}
            }
        }
    });
    let server = server(&upstream, PROXY).start();
    // The settings are known after this.
    assert_eq!(server.get("/").status, 204);
    let mut client = H2Client::of(&server);
    let streams: Vec<u32> = (0..20).map(|_| client.ask("/")).collect();
    for stream in streams {
        assert_eq!(client.answer(stream).status, 204);
    }
    assert_eq!(*beyond.lock().unwrap(), 0, "more than the settings allow");
}

/// An upstream whose first connection does `act` to a request; others answer.
fn first(act: impl Fn(&mut Peer, u32) -> bool + Send + Sync + 'static) -> H2Upstream {
    H2Upstream::new(move |peer, number| {
        peer.frame(&Frame::settings(&[]));
        loop {
            if let Event::Fields { stream, .. } = peer.event()? {
                if number == 1 {
                    act(peer, stream);
                    // Whatever comes is not answered.
                    while peer.event().is_ok() {}
                    return Ok(());
                }
                peer.fields(stream, &[(":status", "200")], false);
                peer.frame(&Frame::data(stream, "second", true));
            }
        }
    })
}

#[test]
fn what_was_not_processed_is_repeated_whatever_the_method() {
    if is_nginx() {
        // It answers 502.
        return;
    }
    let go_away = first(|peer, _| peer.frame(&Frame::go_away(0, code::NO_ERROR)));
    let refused = first(|peer, stream| {
        peer.frames(&[
            Frame::reset(stream, code::REFUSED_STREAM),
            Frame::go_away(stream, code::NO_ERROR),
        ])
    });
    for upstream in [go_away, refused] {
        let server = Server::http(
            "http2 on; upstream u { server %upstream%; server %upstream% backup; }
             server { listen 127.0.0.1:%port%; server_name localhost;
             location / { proxy_http_version 2; proxy_pass http://u; } }",
        )
        .set("upstream", upstream.address())
        .start();
        let answer = H2Client::of(&server).post("/", "content-length: 4", b"body");
        assert_eq!(answer.whole(), (200, "second".to_owned()));
    }
}

#[test]
fn a_reset_is_a_bad_gateway() {
    let upstream = first(|peer, stream| peer.frame(&Frame::reset(stream, code::INTERNAL_ERROR)));
    let server = server(&upstream, PROXY).start();
    assert_eq!(server.get("/").status, 502);
    assert!(server.error_log().contains("upstream rejected request with error 2"));
}

#[test]
fn an_early_answer_is_delivered() {
    let upstream = H2Upstream::new(|peer, _| {
        peer.frame(&Frame::settings(&[]));
        loop {
            if let Event::Fields { stream, .. } = peer.event()? {
                peer.fields(stream, &[(":status", "403")], false);
                peer.frame(&Frame::data(stream, "no need", true));
                peer.frame(&Frame::reset(stream, code::NO_ERROR));
            }
        }
    });
    let conf = format!("{PROXY} proxy_request_buffering off; client_max_body_size 0;");
    let server = server(&upstream, &conf).start();
    let mut client = H2Client::of(&server);
    let stream = client.open(&request("POST", "/", ""), false);
    client.frame(&Frame::data(stream, vec![0; 10_000], false));
    let answer = client.partly(stream, |answer| answer.complete);
    assert_eq!(answer.whole(), (403, "no need".to_owned()));
}

#[test]
fn tls_asks_for_h2() {
    let setup = Server::http(
        "server { listen 127.0.0.1:%port%; location / { proxy_http_version 2;
           proxy_pass https://%upstream%; } location /grpc { grpc_pass grpcs://%upstream%; } }",
    );
    let made = Certificate::self_signed(setup.directory(), "a", "a.test");
    let read = |name: &str| setup.directory().read(name);
    let (certificate, key) = (read(&made.certificate), read(&made.key));
    let upstream = H2Upstream::tls(&certificate, &key, &["h2"], |peer, _| {
        peer.frame(&Frame::settings(&[]));
        loop {
            if let Event::Fields { stream, .. } = peer.event()? {
                peer.fields(stream, &[(":status", "200")], false);
                peer.frame(&Frame::data(stream, "by TLS", true));
            }
        }
    });
    let server = setup.set("upstream", upstream.address()).start();
    assert_eq!(server.text("/"), "by TLS");
    assert_eq!(server.text("/grpc"), "by TLS");
}

/// A gRPC service: each message is answered at once, then come trailers with a status.
fn service() -> H2Upstream {
    H2Upstream::new(|peer, _| {
        peer.frame(&Frame::settings(&[]));
        loop {
            match peer.event()? {
                Event::Fields { stream, fields, end } => {
                    if fields.contains(&(":path".to_owned(), "/a/Fails".to_owned())) {
                        let fields = [
                            (":status", "200"),
                            ("content-type", "application/grpc"),
                            ("grpc-status", "5"),
                        ];
                        peer.fields(stream, &fields, true);
                        continue;
                    }
                    let te = fields.contains(&("te".to_owned(), "trailers".to_owned()));
                    let te = if te { "yes" } else { "no" };
                    let head =
                        [(":status", "200"), ("content-type", "application/grpc"), ("x-te", te)];
                    peer.fields(stream, &head, false);
                    if end {
                        peer.fields(stream, &[("grpc-status", "0")], true);
                    }
                }
                Event::Data { stream, bytes, end } => {
                    peer.frame(&Frame::data(stream, bytes, false));
                    if end {
                        peer.fields(stream, &[("grpc-status", "0"), ("grpc-message", "ok")], true);
                    }
                }
                _ => {}
            }
        }
    })
}

/// A call's fields.
fn call(path: &str) -> Vec<(String, String)> {
    request("POST", path, "content-type: application/grpc\nte: trailers")
}

#[test]
fn calls_end_with_trailers() {
    let upstream = service();
    let server = server(&upstream, GRPC).start();
    let mut client = H2Client::of(&server);
    let stream = client.open(&call("/a/B"), false);
    client.frame(&Frame::data(stream, *b"\0\0\0\0\x02hi", true));
    let answer = client.answer(stream);
    assert_eq!(answer.whole(), (200, "\0\0\0\0\u{2}hi".to_owned()));
    assert_eq!(answer.field("x-te"), Some("yes"));
    assert_eq!(answer.trailer("grpc-status"), Some("0"));
    assert_eq!(answer.trailer("grpc-message"), Some("ok"));
    // Trailers alone are a head that ends the stream.
    let stream = client.open(&call("/a/Fails"), true);
    let answer = client.answer(stream);
    assert_eq!((answer.status, answer.field("grpc-status")), (200, Some("5")));
}

#[test]
fn messages_pass_both_ways_as_they_come() {
    let upstream = service();
    let server = server(&upstream, GRPC).start();
    let mut client = H2Client::of(&server);
    let stream = client.open(&call("/a/B"), false);
    let mut expected = 0;
    for message in ["one", "two", "three"] {
        client.frame(&Frame::data(stream, message, false));
        expected += message.len();
        client.partly(stream, |answer| answer.body.len() >= expected);
    }
    client.frame(&Frame::data(stream, [], true));
    let answer = client.answer(stream);
    assert_eq!(answer.whole(), (200, "onetwothree".to_owned()));
    assert_eq!(answer.trailer("grpc-status"), Some("0"));
}

#[test]
fn a_canceled_call_is_canceled_upstream() {
    let (told, ends) = std::sync::mpsc::channel();
    let told = Mutex::new(told);
    let upstream = H2Upstream::new(move |peer, _| {
        peer.frame(&Frame::settings(&[]));
        loop {
            match peer.event() {
                Ok(Event::Fields { stream, .. }) => {
                    peer.fields(stream, &[(":status", "200")], false);
                }
                // nginx closes its connection.
                Ok(Event::Reset { .. }) | Err(_) => break,
                Ok(_) => {}
            }
        }
        told.lock().unwrap().send(()).unwrap();
        Ok(())
    });
    let server = server(&upstream, GRPC).start();
    let mut client = H2Client::of(&server);
    let stream = client.open(&call("/a/B"), false);
    client.partly(stream, |answer| answer.status == 200);
    client.frame(&Frame::reset(stream, code::CANCEL));
    ends.recv_timeout(crate::harness::PATIENCE).expect("the end of the call");
}

#[test]
fn a_slow_client_stops_a_stream() {
    let sent = Arc::new(Mutex::new(0));
    let counts = Arc::clone(&sent);
    let upstream = H2Upstream::new(move |peer, _| {
        peer.frame(&Frame::settings(&[]));
        loop {
            if let Event::Fields { stream, .. } = peer.event()? {
                peer.fields(stream, &[(":status", "200")], false);
                // As much as the initial windows allow, then what is granted.
                let mut room = 65_535_i64;
                loop {
                    while room >= 16_384 {
                        peer.frame(&Frame::data(stream, vec![0; 16_384], false));
                        *counts.lock().unwrap() += 16_384;
                        room -= 16_384;
                    }
                    if let Event::Window { stream: 0, increment } = peer.event()? {
                        room = (room + i64::from(increment)).min(65_535);
                    }
                }
            }
        }
    });
    let server = server(&upstream, GRPC).start();
    let mut client = H2Client::connect(&server.address("port"), &[(4, 1000)]);
    client.refills = false;
    let stream = client.open(&call("/a/B"), false);
    client.partly(stream, |answer| answer.body.len() == 1000);
    client.settle();
    assert!(*sent.lock().unwrap() < 32 << 20, "the upstream was not held back");
    client.frame(&Frame::reset(stream, code::CANCEL));
}

#[test]
fn a_dead_upstream_is_unavailable() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let server = Server::http(
        "http2 on; server { listen 127.0.0.1:%port%; location / { grpc_pass grpc://%dead%; } }",
    )
    .set("dead", address)
    .start();
    let mut client = H2Client::of(&server);
    let stream = client.open(&call("/a/B"), true);
    assert_eq!(client.answer(stream).status, 502);
}
