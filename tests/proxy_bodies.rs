//! Bodies through proxy_pass in both directions, buffered or unbuffered, in memory or in a file.

use std::io::Write;

use crate::harness::{Backend, Reply, Server};
use crate::proxy::proxied;

#[test]
fn buffering_off_passes_every_piece_at_once() {
    let backend = Backend::new(|_| {
        Reply::Custom(Box::new(|stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
            // Continues only after the client has received the first half, and closes the
            // connection.
            let _ = std::io::Read::read(stream, &mut [0]);
        }))
    });
    let server = proxied(
        &backend,
        "proxy_read_timeout 30s; location / { proxy_buffering off; proxy_pass http://%backend%; }",
    );
    let mut client = server.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().status, 200);
    assert_eq!(client.take(5), b"first");
}

#[test]
fn a_body_that_is_there_already_needs_no_file() {
    let backend = Backend::echo();
    let server = proxied(
        &backend,
        "client_body_buffer_size 1k;
         location / { proxy_request_buffering off; proxy_pass http://%backend%; }",
    );
    let body = "x".repeat(50_000);
    for _ in 0..5 {
        let mut client = server.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n{body}"));
        assert_eq!(client.response().status, 200);
        assert!(backend.last().body == body.as_bytes());
    }
    assert!(!server.error_log().contains("temporary file"), "{}", server.error_log());
}

#[test]
fn an_empty_body_in_a_file_is_not_worth_a_line() {
    let backend = Backend::echo();
    let conf = "location / { client_body_in_file_only clean; proxy_pass http://%backend%; }";
    let server = proxied(&backend, conf);
    for (body, lines) in [("0\r\n\r\n", 0), ("1\r\na\r\n0\r\n\r\n", 1)] {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked";
        assert_eq!(server.ask(format!("{head}\r\n\r\n{body}")).status, 200);
        assert_eq!(server.error_log().matches("temporary file").count(), lines);
    }
}

#[test]
fn request_buffering_on_and_off() {
    let backend = Backend::echo();
    let server = proxied(
        &backend,
        "client_body_buffer_size 1k;
         location / { proxy_pass http://%backend%; }
         location /off { proxy_request_buffering off; proxy_http_version 1.1;
             proxy_pass http://%backend%; }",
    );
    let body: Vec<u8> = (0..300_000u32).map(|n| (n % 253) as u8).collect();
    for target in ["/", "/off"] {
        let mut client = server.client();
        let head =
            format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        client.send(head).send(&body);
        assert_eq!(client.response().status, 200);
        assert!(backend.last().body == body, "{target}");
    }
    // With buffering, the upstream receives nothing until the request is complete.
    backend.forget();
    let before = backend.connections();
    let mut client = server.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    assert_eq!(server.get("/other").status, 200);
    assert_eq!(backend.connections(), before + 1);
    client.send("second");
    assert_eq!(client.response().status, 200);
    // Without buffering, the head is sent at once, and a chunked body stays chunked.
    let mut client = server.client();
    client.send("POST /off HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    crate::harness::until("the upstream connection", || backend.connections() == before + 3);
    client.send("0\r\n\r\n");
    assert_eq!(client.response().status, 200);
    let seen = backend.last();
    assert_eq!((seen.header("Transfer-Encoding"), &*seen.body), (Some("chunked"), &b"abc"[..]));
}

#[test]
fn large_responses_with_small_buffers_and_a_slow_client() {
    let body: Vec<u8> = (0..12_000_000u32).map(|n| (n % 249) as u8).collect();
    let copy = body.clone();
    let backend = Backend::new(move |_| Reply::ok(&copy));
    let server = proxied(
        &backend,
        "proxy_buffer_size 1k; proxy_buffers 4 1k; proxy_busy_buffers_size 2k;
         location / { proxy_pass http://%backend%; }
         location /memory { proxy_max_temp_file_size 0; proxy_pass http://%backend%; }
         location /direct { proxy_buffering off; proxy_pass http://%backend%; }",
    );
    for target in ["/", "/memory", "/direct"] {
        let mut client = server.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        // The backend has sent all it can before the client starts to read.
        backend.wait(0);
        if target == "/" {
            server.wait_log("an upstream response is buffered to a temporary file");
        }
        assert!(client.response().body == body, "{target}");
        backend.forget();
    }
}

#[test]
fn bodies_of_any_framing_are_complete() {
    let body: Vec<u8> = (0..1_500_000u32).map(|n| (n % 247) as u8).collect();
    let copy = body.clone();
    let backend = Backend::new(move |seen| {
        let head = b"HTTP/1.1 200 OK\r\n".to_vec();
        if seen.target() == "/close" {
            return Reply::Last([&head[..], b"\r\n", &copy].concat());
        }
        let mut bytes = [&head[..], b"Transfer-Encoding: chunked\r\n\r\n"].concat();
        let mut rest = &copy[..];
        for size in [1, 100, 5_000, 70_000, 200_000].into_iter().cycle() {
            let (chunk, behind) = rest.split_at(rest.len().min(size));
            write!(bytes, "{:x}\r\n", chunk.len()).unwrap();
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
            rest = behind;
            if chunk.is_empty() {
                return Reply::Bytes(bytes);
            }
        }
        unreachable!()
    });
    let server = proxied(
        &backend,
        "proxy_http_version 1.1; location / { proxy_pass http://%backend%; }
         location /memory { proxy_max_temp_file_size 0; proxy_pass http://%backend%/; }
         location /direct { proxy_buffering off; proxy_pass http://%backend%/; }",
    );
    for target in ["/", "/close", "/memory", "/direct"] {
        assert!(server.get(target).body == body, "{target}");
    }
}

#[test]
fn the_end_of_a_large_body_is_known() {
    const LENGTH: usize = 4_000_000;
    let body: Vec<u8> = (0..LENGTH).map(|n| (n % 239) as u8).collect();
    let copy = body.clone();
    let backend = Backend::new(move |seen| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
        match seen.target() {
            "/short" => Reply::Last([head.as_bytes(), &copy[..LENGTH - 1]].concat()),
            "/long" => Reply::Bytes([head.as_bytes(), &copy, b"more"].concat()),
            _ => Reply::Bytes([head.as_bytes(), &copy].concat()),
        }
    });
    let server = Server::http(
        "log_format own '$body_bytes_sent $upstream_response_length';
         upstream backend { server %backend%; keepalive 4; }
         server {
             listen 127.0.0.1:%port%;
             access_log %dir%/own.log own;
             proxy_http_version 1.1;
             proxy_set_header Connection '';
             location / { proxy_pass http://backend; }
         }",
    )
    .set("backend", backend.address())
    .start();
    for number in 1..=3 {
        assert!(server.get("/").body == body);
        server.wait_lines("own.log", number);
    }
    assert_eq!(backend.connections(), 1, "the connection is kept");
    assert!(server.get("/long").body == body);
    let mut client = server.client();
    client.send("GET /short HTTP/1.1\r\nHost: a\r\n\r\n");
    let all = client.rest();
    assert!(all.ends_with(&body[LENGTH - 1_000_000..LENGTH - 1]), "the received part is sent");
    server.wait_log("upstream prematurely closed connection while reading upstream");
    assert_eq!(backend.connections(), 2, "a connection with excess data is not kept");
    let lines = server.wait_lines("own.log", 5);
    let whole = format!("{LENGTH} {LENGTH}");
    assert_eq!(lines[..3], [&*whole, &whole, &whole]);
    assert_eq!(lines[4], format!("{0} {0}", LENGTH - 1));
}

#[test]
fn a_large_body_is_followed_by_one_of_any_size() {
    let body: Vec<u8> = (0..1_000_000u32).map(|n| (n % 241) as u8).collect();
    let copy = body.clone();
    let backend = Backend::new(move |seen| {
        let length: usize = seen.target()[1..].parse().unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        Reply::Bytes([head.as_bytes(), &copy[..length]].concat())
    });
    let server = Server::http(
        "upstream backend { server %backend%; keepalive 1; }
         server {
             listen 127.0.0.1:%port%;
             proxy_http_version 1.1;
             proxy_set_header Connection '';
             location / { proxy_pass http://backend; }
         }",
    )
    .set("backend", backend.address())
    .start();
    for length in [0, 5, 16_000, 16_384, 16_385, 70_000, 140_000, 999_999] {
        assert!(server.get("/1000000").body == body);
        assert!(server.get(&format!("/{length}")).body == body[..length], "{length}");
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn a_request_after_an_upload_is_complete() {
    let backend = Backend::echo();
    let server = proxied(
        &backend,
        "client_body_buffer_size 128k; location / { proxy_pass http://%backend%; }
         location /file { client_body_buffer_size 1k; proxy_pass http://%backend%; }
         location /off { proxy_request_buffering off; proxy_pass http://%backend%; }",
    );
    let body: Vec<u8> = (0..100_000u32).map(|n| (n % 241) as u8).collect();
    for target in ["/", "/file", "/off"] {
        let mut client = server.client();
        let head =
            format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        let next = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
        client.send([head.as_bytes(), &body, next.as_bytes()].concat());
        assert_eq!(client.response().status, 200);
        assert_eq!(client.response().status, 200);
        // The second request may reach the backend before the first response arrives.
        let seen = backend.seen();
        let [.., first, second] = &seen[..] else { panic!("two requests at the backend") };
        assert!(first.body == body, "{target}");
        assert!(second.line.starts_with("GET /next "), "{target}");
    }
}
