//! Bodies both ways, and their flow control.

use super::{content, proxy, server};
use crate::harness::{
    Backend, Frame, H2Client, Reply, Seen, Server, code, own_memory, request, until,
};

/// 100 MB.
const LARGE: usize = 100_000_000;

/// A backend that responds with the length of the body, and whether its bytes are right.
fn weighing() -> Backend {
    Backend::new(|seen: &Seen| {
        let right = seen.body == content(seen.body.len());
        Reply::ok(format!("{} {right}", seen.body.len()))
    })
}

#[test]
fn uploads_of_any_length_arrive() {
    for buffering in ["on", "off"] {
        let backend = weighing();
        let conf = format!(
            "proxy_request_buffering {buffering}; proxy_http_version 1.1; client_max_body_size 0;"
        );
        let server = proxy(&backend, &conf).start();
        let mut client = H2Client::of(&server);
        for length in [0, 1, 8192, 65_535, 65_536, 300_000, 3_000_000] {
            let body = content(length);
            for lines in [String::new(), format!("content-length: {length}")] {
                let (status, text) = client.post("/", &lines, &body).whole();
                assert_eq!((status, text), (200, format!("{length} true")), "{buffering} {lines}");
            }
        }
    }
}

#[test]
fn a_hundred_megabytes_go_up() {
    let backend = weighing();
    let conf = "proxy_request_buffering off; proxy_http_version 1.1; client_max_body_size 0;";
    let server = proxy(&backend, conf).start();
    let before = worker_memory(&server);
    let mut client = H2Client::of(&server);
    let (status, text) = client.post("/", "", &content(LARGE)).whole();
    assert_eq!((status, text), (200, format!("{LARGE} true")));
    let grown = worker_memory(&server).saturating_sub(before);
    assert!(grown < 20_000, "{grown} KiB more");
}

#[test]
fn a_hundred_megabytes_come_down() {
    let backend = Backend::new(|_| Reply::ok(content(LARGE)));
    let server = proxy(&backend, "proxy_max_temp_file_size 0;").start();
    let before = worker_memory(&server);
    let mut client = H2Client::of(&server);
    let answer = client.get("/");
    assert!(answer.complete && answer.status == 200);
    assert!(answer.body == content(LARGE), "{} bytes", answer.body.len());
    let grown = worker_memory(&server).saturating_sub(before);
    assert!(grown < 20_000, "{grown} KiB more");
}

/// The memory of the worker in KiB, in use for data: its code comes as it is used.
fn worker_memory(server: &Server) -> u64 {
    crate::harness::children(server.pid()).into_iter().map(own_memory).sum()
}

#[test]
fn a_client_that_keeps_up_needs_no_file() {
    let backend = Backend::new(|_| Reply::ok(content(200_000)));
    let server = proxy(&backend, "proxy_buffers 8 4k;").start();
    // The windows have room for everything, as have the buffers of a socket.
    let mut client = H2Client::connect(&server.address("port"), &[(4, 1_000_000)]);
    client.frame(&Frame::window(0, 1_000_000));
    let streams = [(); 3].map(|()| client.ask("/"));
    for stream in streams {
        assert!(client.answer(stream).body == content(200_000));
    }
    assert!(!server.error_log().contains("temporary file"), "{}", server.error_log());
}

#[test]
fn a_body_waits_for_the_window_of_its_stream() {
    let server = server("location / { root %dir%; }").file("file", content(200_000)).start();
    let mut client = H2Client::connect(&server.address("port"), &[(4, 1000)]);
    client.refills = false;
    let stream = client.ask("/file");
    let answer = client.partly(stream, |answer| answer.body.len() >= 1000);
    assert_eq!(answer.body.len(), 1000);
    client.settle();
    assert_eq!(client.so_far(stream).body.len(), 1000);
    client.frame(&Frame::window(stream, 1));
    client.partly(stream, |answer| answer.body.len() >= 1001);
    // Another initial window counts for streams that are open.
    client.frame(&Frame::settings(&[(4, 3000)]));
    client.partly(stream, |answer| answer.body.len() >= 3001);
    // The window may become negative.
    client.frame(&Frame::settings(&[(4, 0)]));
    client.frame(&Frame::window(stream, 3000));
    client.settle();
    assert_eq!(client.so_far(stream).body.len(), 3001);
    client.frame(&Frame::window(stream, 1_000_000));
    client.frame(&Frame::window(0, 1_000_000));
    assert_eq!(client.answer(stream).body, content(200_000));
}

#[test]
fn a_body_waits_for_the_window_of_the_connection() {
    let server = server("location / { root %dir%; }").file("file", content(200_000)).start();
    let mut client = H2Client::connect(&server.address("port"), &[(4, 1_000_000)]);
    client.refills = false;
    let stream = client.ask("/file");
    client.partly(stream, |answer| answer.body.len() >= 65_535);
    let other = client.ask("/file");
    client.settle();
    assert_eq!(client.so_far(stream).body.len(), 65_535);
    assert_eq!(client.partly(other, |answer| answer.status != 0).body.len(), 0);
    client.frame(&Frame::window(0, 400_000));
    assert_eq!(client.answer(stream).body, content(200_000));
    assert_eq!(client.answer(other).body, content(200_000));
}

#[test]
fn frames_are_no_larger_than_the_client_takes() {
    let server = server("location / { root %dir%; http2_chunk_size 1m; }")
        .file("file", content(500_000))
        .start();
    let mut client = H2Client::connect(&server.address("port"), &[(4, 1_000_000)]);
    let answer = client.get("/file");
    assert_eq!(answer.body, content(500_000));
    assert!(answer.largest <= 16_384, "{}", answer.largest);
}

#[test]
fn an_upload_that_is_too_large_is_refused_early() {
    let backend = weighing();
    let server = proxy(&backend, "client_max_body_size 1000;").start();
    let mut client = H2Client::of(&server);
    let stream = client.open(&request("POST", "/", "content-length: 5000"), false);
    let answer = client.partly(stream, |answer| answer.complete);
    assert_eq!(answer.status, 413);
    // The rest is not wanted, and the connection lives.
    client.settle();
    assert_eq!(client.so_far(stream).reset, Some(code::NO_ERROR));
    client.frame(&Frame::data(stream, vec![0; 5000], true));
    let stream = client.open(&request("POST", "/", ""), false);
    client.frame(&Frame::data(stream, content(2000), false));
    assert_eq!(client.answer(stream).status, 413);
    assert_eq!(client.post("/", "", &content(10)).whole().0, 200);
    assert_eq!(backend.count(), 1);
}

#[test]
fn a_body_unlike_its_length_is_a_fault() {
    let backend = weighing();
    for buffering in ["on", "off"] {
        let server = proxy(&backend, &format!("proxy_request_buffering {buffering};")).start();
        let mut client = H2Client::of(&server);
        for sent in [3, 7] {
            let stream = client.open(&request("POST", "/", "content-length: 5"), false);
            client.frame(&Frame::data(stream, content(sent), true));
            let answer = client.answer(stream);
            let reset = answer.reset == Some(code::PROTOCOL_ERROR);
            assert!(answer.status == 400 || reset, "{sent} {buffering}: {answer:?}");
        }
        // The connection lives.
        assert_eq!(client.post("/", "content-length: 5", &content(5)).whole().0, 200);
    }
}

/// A body of no bytes ends when its stream does: until then, it may be malformed.
#[test]
fn an_empty_body_is_waited_for() {
    let backend = weighing();
    let server = proxy(&backend, "").start();
    let mut client = H2Client::of(&server);
    for lines in ["content-length: 0", ""] {
        let stream = client.open(&request("POST", "/", lines), false);
        client.frame(&Frame::data(stream, [], false));
        client.settle();
        assert_eq!(client.so_far(stream).status, 0);
        client.frame(&Frame::data(stream, [], true));
        assert_eq!(client.answer(stream).whole(), (200, "0 true".to_owned()));
    }
    assert_eq!(backend.seen()[0].header("content-length"), Some("0"));
    let stream = client.open(&request("POST", "/", "content-length: 0"), false);
    client.frame(&Frame::data(stream, [0], true));
    let answer = client.answer(stream);
    assert!(answer.status == 400 || answer.reset == Some(code::PROTOCOL_ERROR), "{answer:?}");
    assert_eq!(backend.count(), 2, "it never saw that one");
}

#[test]
fn an_unread_upload_stops_at_the_window() {
    // The backend does not read, so that nothing must be read from the client either.
    let backend = Backend::new(|_| Reply::hold());
    let conf = "proxy_request_buffering off; proxy_http_version 1.1; client_max_body_size 0;
        client_body_buffer_size 64k;";
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = server(&format!("location / {{ proxy_pass http://%deaf%; {conf} }}"))
        .set("deaf", listener.local_addr().unwrap())
        .start();
    drop(backend);
    let before = worker_memory(&server);
    let mut client = H2Client::of(&server);
    client.wait_settings();
    let stream = client.open(&request("POST", "/", ""), false);
    let (_held, _) = listener.accept().unwrap();
    let body = content(16_384);
    let mut sent = 0;
    // The sockets take some megabytes.
    loop {
        while client.room(stream) >= body.len() as i64 {
            client.upload(stream, &body, false);
            sent += body.len();
            assert!(sent < 64 << 20, "there is no end of the window");
        }
        client.settle();
        if client.room(stream) < body.len() as i64 {
            break;
        }
    }
    let grown = worker_memory(&server).saturating_sub(before);
    assert!(grown < 8000, "{grown} KiB more");
    // Another stream is served meanwhile, if the connection's window allows it.
    client.frame(&Frame::reset(stream, code::CANCEL));
    client.settle();
}

#[test]
fn a_client_that_cancels_ends_the_request() {
    let backend = Backend::new(|seen| match seen.target() {
        "/hold" => Reply::hold(),
        _ => Reply::ok("ok"),
    });
    let server = proxy(&backend, "").start();
    let mut client = H2Client::of(&server);
    let stream = client.ask("/hold");
    backend.wait(0);
    client.frame(&Frame::reset(stream, code::CANCEL));
    assert_eq!(client.get("/").whole(), (200, "ok".to_owned()));
    until("a line about the client", || server.error_log().contains("client"));
    assert_eq!(client.so_far(stream).status, 0);
}

#[test]
fn the_cost_of_padding_counts_for_windows() {
    let backend = weighing();
    let server = proxy(&backend, "client_max_body_size 0;").start();
    let mut client = H2Client::of(&server);
    client.wait_settings();
    let stream = client.open(&request("POST", "/", ""), false);
    // Far more padding than any window would allow if it were not given back.
    for _ in 0..1000 {
        while client.room(stream) < 300 {
            client.step().expect("a window for padding");
        }
        let payload = [&[255][..], b"x", &[0; 255]].concat();
        client.spend(stream, payload.len());
        client.frame(&Frame::new(0, crate::harness::flag::PADDED, stream, payload));
    }
    client.frame(&Frame::data(stream, [], true));
    assert_eq!(client.answer(stream).whole(), (200, "1000 false".to_owned()));
}
