//! Named limits of a connection and of a head.

use super::{proxy, server};
use crate::harness::{
    Backend, Event, Frame, H2Client, Reply, code, flag, frame_kind, is_nginx, literals, request,
};

#[test]
fn streams_beyond_the_most_are_refused() {
    let backend = Backend::new(|seen| match seen.target() {
        "/hold" => Reply::hold(),
        _ => Reply::ok("ok"),
    });
    let server =
        server("http2_max_concurrent_streams 2; location / { proxy_pass http://%backend%; }")
            .set("backend", backend.address())
            .start();
    let mut client = H2Client::of(&server);
    client.ask("/hold");
    let second = client.ask("/hold");
    let third = client.ask("/");
    assert_eq!(client.answer(third).reset, Some(code::REFUSED_STREAM));
    client.frame(&Frame::reset(second, code::CANCEL));
    assert_eq!(client.get("/").whole(), (200, "ok".to_owned()));
}

#[test]
fn heads_beyond_the_buffers_are_refused() {
    let server = server("large_client_header_buffers 2 1k; return 200 a;").start();
    let refused = |lines: &str| {
        let mut client = H2Client::of(&server);
        let stream = client.open(&request("GET", "/", lines), true);
        match client.try_answer(stream) {
            Ok(answer) => answer.status != 200,
            Err(_) => client.gone.is_some_and(|(code, _)| code == code::ENHANCE_YOUR_CALM),
        }
    };
    assert!(!refused(&format!("x: {}", "v".repeat(1000))));
    assert!(refused(&format!("x: {}", "v".repeat(1100))), "a field beyond one buffer");
    let many: String = (0..5).map(|at| format!("x{at}: {}\n", "v".repeat(500))).collect();
    assert!(refused(&many), "all fields beyond the buffers");
}

#[test]
fn more_fields_than_allowed_are_a_bad_request() {
    let server = server("return 200 a;").start();
    let mut client = H2Client::of(&server);
    let lines = |count: usize| -> String { (0..count).map(|at| format!("x{at}: 1\n")).collect() };
    assert_eq!(client.get_with("/", &lines(900)).status, 200);
    let answer = client.get_with("/", &lines(1100));
    assert!(answer.status == 400 || answer.reset.is_some(), "{answer:?}");
    assert_eq!(client.get("/").status, 200, "the connection lives");
}

/// The rest of a head and what follows it.
fn late_rest(head: &Frame) -> Vec<u8> {
    head.bytes()[15..].to_vec()
}

#[test]
fn a_head_that_does_not_end_in_time_ends_its_stream() {
    let server = server("client_header_timeout 1s; return 200 a;").start();
    let block = literals(&request("GET", "/", ""));
    let ends = flag::END_HEADERS | flag::END_STREAM;
    // In the middle of a frame; nginx knows the stream once the frame's head is there.
    let mut client = H2Client::of(&server);
    assert_eq!(client.get("/").status, 200);
    let head = Frame::new(frame_kind::HEADERS, ends, 3, block.clone());
    client.raw(&head.bytes()[..15]);
    let wait = |client: &mut H2Client, stream: u32| {
        client.wait("the reset", |event| match event {
            Event::Reset { stream: of, code } if *of == stream => Some(*code),
            _ => None,
        })
    };
    assert_eq!(wait(&mut client, 3), code::PROTOCOL_ERROR);
    client.raw(&late_rest(&head));
    client.next_stream();
    assert_eq!(client.get("/").whole(), (200, "a".to_owned()));
    if is_nginx() {
        // Between two frames it waits for ever, or for keepalive_timeout.
        return;
    }
    let stream = client.next_stream();
    let (first, rest) = block.split_at(5);
    client.frame(&Frame::new(frame_kind::HEADERS, flag::END_STREAM, stream, first));
    assert_eq!(wait(&mut client, stream), code::PROTOCOL_ERROR);
    client.frame(&Frame::new(frame_kind::CONTINUATION, flag::END_HEADERS, stream, rest));
    assert_eq!(client.get("/").whole(), (200, "a".to_owned()));
}

#[test]
fn a_late_head_does_not_keep_a_connection() {
    if is_nginx() {
        return;
    }
    let server = server("client_header_timeout 1s; keepalive_timeout 1s; return 200 a;").start();
    let mut client = H2Client::of(&server);
    assert_eq!(client.get("/").status, 200);
    client.frame(&Frame::new(frame_kind::HEADERS, flag::END_STREAM, 3, [0x82]));
    client.end();
    // Another frame whose end is late.
    let mut client = H2Client::of(&server);
    assert_eq!(client.get("/").status, 200);
    client.raw(&Frame::new(frame_kind::PING, 0, 0, [0; 8]).bytes()[..12]);
    client.end();
}

#[test]
fn a_body_that_comes_before_the_small_window_is_known_is_refused() {
    let backend = Backend::text("ok");
    let conf = "http2_body_preread_size 1k; location / { proxy_pass http://%backend%; }";
    let server = server(conf).set("backend", backend.address()).start();
    // The settings of the server are not acknowledged yet.
    let mut client = H2Client::of(&server);
    let stream = client.open(&request("POST", "/", ""), false);
    assert_eq!(client.answer(stream).reset, Some(code::REFUSED_STREAM));
    client.settle();
    assert_eq!(client.post("/", "", &[b'x'; 3000]).whole(), (200, "ok".to_owned()));
}

#[test]
fn a_body_that_does_not_come_in_time_is_given_up() {
    let backend = Backend::text("ok");
    let server = proxy(&backend, "client_body_timeout 1s;").start();
    let mut client = H2Client::of(&server);
    let stream = client.open(&request("POST", "/", "content-length: 10"), false);
    let answer = client.try_answer(stream);
    let given_up = answer.as_ref().is_ok_and(|a| a.status == 408 || a.reset.is_some());
    assert!(given_up, "{answer:?}");
    assert_eq!(client.get("/").whole(), (200, "ok".to_owned()), "the connection lives");
}

#[test]
fn an_idle_connection_is_ended_in_good_order() {
    let server = server("keepalive_timeout 1s; return 200 a;").start();
    let mut client = H2Client::of(&server);
    assert_eq!(client.get("/").status, 200);
    assert_eq!(client.end(), Some(code::NO_ERROR));
}

#[test]
fn a_client_that_does_not_read_is_given_up() {
    let server = server("send_timeout 1s; location / { root %dir%; }")
        .file("file", vec![b'x'; 1_000_000])
        .start();
    let mut client = H2Client::connect(&server.address("port"), &[(4, 100)]);
    client.refills = false;
    let stream = client.ask("/file");
    client.partly(stream, |answer| answer.body.len() == 100);
    // The window stays shut.
    match client.try_answer(stream) {
        Ok(answer) => assert!(answer.reset.is_some(), "{answer:?}"),
        Err(error) => assert!(is_ended(&error), "{error}"),
    }
}

fn is_ended(error: &std::io::Error) -> bool {
    error.kind() != std::io::ErrorKind::TimedOut
}

#[test]
fn requests_are_limited_by_name_and_connection() {
    let server = super::with(
        "limit_req_zone $uri zone=one:1m rate=1r/m;",
        "limit_req_status 429; location /limited { limit_req zone=one; return 200 a; }
         location = /file { limit_req zone=one; root %dir%; }",
    )
    .file("file", "text")
    .start();
    let mut client = H2Client::of(&server);
    let first = client.ask("/file");
    let second = client.ask("/file");
    let statuses = [client.answer(first).status, client.answer(second).status];
    assert_eq!(statuses, [200, 429]);
}
