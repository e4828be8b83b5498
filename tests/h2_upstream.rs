//! HTTP/2 to upstreams: how requests become streams, and streams share a connection.

use std::sync::{Arc, Mutex};

use crate::harness::{
    Certificate, Event, Frame, H2Client, H2Upstream, PATIENCE, Peer, Server, Setup, code, flag,
    frame_kind, is_nginx, literals, marked_literal, request,
};

mod calls;
mod trailers;

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

/// The number of bytes in frames.
fn bytes_of(frames: &[Frame]) -> usize {
    frames.iter().map(|frame| frame.bytes().len()).sum()
}

/// `$upstream_bytes_sent` and `$upstream_bytes_received` have all frames of the stream.
#[test]
fn bytes_are_counted_with_heads_and_frames() {
    if is_nginx() {
        // It also counts the frames of the connection.
        return;
    }
    let counts = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&counts);
    let upstream = H2Upstream::new(move |peer, _| {
        peer.frame(&Frame::settings(&[]));
        let mut got = 0;
        loop {
            let frame = peer.next_frame()?;
            if frame.stream == 0 {
                continue;
            }
            got += frame.bytes().len();
            if frame.has(flag::END_STREAM) {
                let id = frame.stream;
                let head = literals(&[(":status", "200"), ("content-type", "application/grpc")]);
                let trailers = literals(&[("grpc-status", "0")]);
                let ends = flag::END_HEADERS | flag::END_STREAM;
                let frames = [
                    Frame::new(frame_kind::HEADERS, flag::END_HEADERS, id, head),
                    Frame::data(id, "one", false),
                    Frame::data(id, "two", false),
                    Frame::new(frame_kind::HEADERS, ends, id, trailers),
                ];
                told.lock().unwrap().push((std::mem::take(&mut got), bytes_of(&frames)));
                peer.frames(&frames);
            }
        }
    });
    let server = Server::http(
        "log_format b '$upstream_bytes_sent $upstream_bytes_received $upstream_response_length';
         http2 on; upstream u { server %upstream%; keepalive 8; }
         server { listen 127.0.0.1:%port%; access_log %dir%/bytes.log b;
             location / { grpc_pass grpc://u; }
             location /proxy/ { proxy_http_version 2; proxy_pass http://u; } }",
    )
    .set("upstream", upstream.address())
    .start();
    let mut client = H2Client::of(&server);
    for path in ["/a/B", "/a/B", "/proxy/"] {
        let answer = client.post(path, "content-type: application/grpc\nte: trailers", b"12345");
        assert_eq!(answer.whole(), (200, "onetwo".to_owned()), "{path}");
    }
    let lines = server.wait_lines("bytes.log", 3);
    let expected = counts.lock().unwrap().clone();
    let expected: Vec<_> = expected.iter().map(|(sent, got)| format!("{sent} {got} 6")).collect();
    assert_eq!(lines, expected);
}

#[test]
fn responses_may_be_padded_by_whole_bytes_in_huffman_codes() {
    let upstream = H2Upstream::new(|peer, _| {
        peer.frame(&Frame::settings(&[]));
        loop {
            if let Event::Fields { stream, .. } = peer.event()? {
                // `:status: 200`, `x-a: a` with eleven bits of padding.
                let block = *b"\x88\x00\x03x-a\x82\x1f\xff";
                let flags = flag::END_HEADERS | flag::END_STREAM;
                peer.frame(&Frame::new(frame_kind::HEADERS, flags, stream, block));
            }
        }
    });
    let server = server(&upstream, PROXY).start();
    let answer = server.get("/");
    assert_eq!((answer.status, answer.header("x-a")), (200, Some("a")));
}

/// A block with a field that no table may keep between two others, which a peer wants back as such.
fn marked(stream: u32, first: &[(&str, &str)], name: &str, end: bool) -> Frame {
    let other = literals(&[("x-other", "open")]);
    let block = [literals(first), marked_literal(name, "secret"), other].concat();
    let end = if end { flag::END_STREAM } else { 0 };
    Frame::new(frame_kind::HEADERS, flag::END_HEADERS | end, stream, block)
}

/// What a client or an upstream has marked as never indexed, in heads and trailers, arrives with
/// the mark, and nothing else does (RFC 7541 section 6.2.3).
#[test]
fn fields_that_no_table_may_keep() {
    if is_nginx() {
        return;
    }
    let (sent, asked) = std::sync::mpsc::channel();
    let upstream = H2Upstream::answering(move |peer, stream, _, _| {
        sent.send(std::mem::take(&mut peer.marked)).unwrap();
        peer.frame(&marked(stream, &[(":status", "200")], "x-answer", false));
        peer.frame(&Frame::data(stream, "body", false));
        peer.frame(&marked(stream, &[], "x-sum", true));
    });
    let server = server(
        &upstream,
        &format!("{PROXY} proxy_pass_request_trailers on; proxy_pass_trailers on;"),
    )
    .start();
    let mut client = H2Client::of(&server);
    for round in 0..3 {
        let stream = client.next_stream();
        let pseudo =
            [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a"), TE];
        client.frame(&marked(stream, &pseudo, "x-token", false));
        client.frame(&Frame::data(stream, "body", false));
        client.frame(&marked(stream, &[], "x-digest", true));
        let answer = client.answer(stream);
        assert_eq!((answer.status, answer.field("x-answer")), (200, Some("secret")));
        assert_eq!(
            (answer.field("x-other"), answer.trailer("x-sum")),
            (Some("open"), Some("secret"))
        );
        assert_eq!(asked.recv_timeout(PATIENCE).unwrap(), ["x-token", "x-digest"], "round {round}");
        assert_eq!(std::mem::take(&mut client.marked), ["x-answer", "x-sum"], "round {round}");
    }
}

const TE: (&str, &str) = ("te", "trailers");
