//! Calls that fail: by the client's fault, the upstream's or ours.

use super::*;
use crate::harness::{Backend, is_nginx};

/// The answers to a call that its body ends as an error in the head.
#[track_caller]
fn fails(server: &Server, call: &Call<'_>, status: &str, message: &str) {
    for answer in call.by_both(server) {
        let text = call.lines.contains("-text");
        let kind = format!("application/grpc-web{}+proto", if text { "-text" } else { "" });
        assert_eq!(answer.end(), (200, Some(&kind[..]), Some(status), Some(message)));
        assert_eq!(answer.body, b"");
    }
}

#[test]
fn malformed_bodies_have_a_status() {
    if is_nginx() {
        return;
    }
    let (upstream, _gate) = service();
    let server = server(&upstream, "").start();
    let cut = base64(&message(b"hello")[..8]);
    let long = [base64(&message(&[b'x'; 90_000])), b"*".to_vec()].concat();
    let path = "/a/Seen";
    for (lines, body, what) in [
        (TEXT, &b"AAAA*AAA"[..], "invalid base64"),
        (TEXT, b"AAAAA", "base64 that is cut"),
        (TEXT, &cut, "a gRPC message that is cut"),
        (TEXT, &long, "invalid base64"),
        (TEXT, b"gAAAAAA=", "a frame of trailers as a gRPC message"),
        (BINARY, b"\0\0\0\0\x09hello", "a gRPC message that is cut"),
        (BINARY, b"\0\0", "a gRPC message that is cut"),
        (BINARY, b"\x80\0\0\0\0", "a frame of trailers as a gRPC message"),
    ] {
        fails(&server, &Call { path, lines, body }, "13", &format!("client sent {what}"));
        assert!(server.error_log().contains(&format!("client sent {what}")));
    }
    let lines = format!("{BINARY}\ncontent-encoding: gzip");
    let what = "client sent gRPC-Web in a content coding, which is not supported";
    fails(&server, &Call { path, lines: &lines, body: b"x" }, "13", what);
    // Other calls go on.
    let call = Call { path: "/a/Echo", lines: BINARY, body: &message(b"hello") };
    assert_eq!(call.by_h2(&server).frames()[0], (0, "hello".to_owned()));
}

#[test]
fn a_fault_in_a_body_ends_a_response_that_has_begun() {
    if is_nginx() {
        return;
    }
    let (upstream, _gate) = service();
    let server = server(&upstream, "").start();
    let mut client = H2Client::of(&server);
    let stream = client.open(&request("POST", "/a/Echo", TEXT), false);
    client.frame(&Frame::data(stream, base64(&message(b"hello")), false));
    client.partly(stream, |answer| !answer.body.is_empty());
    client.frame(&Frame::data(stream, *b"**", false));
    let answer = client.answer(stream);
    let end = "grpc-status: 13\r\ngrpc-message: client sent invalid base64\r\n";
    let expected = [base64(&message(b"hello")), base64(&frame(0x80, end.as_bytes()))].concat();
    assert_eq!(answer.body, expected);
}

#[test]
fn what_is_no_grpc_has_a_status() {
    if is_nginx() {
        return;
    }
    let (upstream, _gate) = service();
    let server = server(&upstream, "").start();
    let body = message(b"");
    let text = base64(&body);
    for (call, _) in both_kinds("/a/Page", &body, &text) {
        let message = "upstream sent content type \"text/html\" instead of gRPC";
        fails(&server, &call, "2", message);
        assert_eq!(call.by_h1(&server).field("etag"), None);
    }
    for (call, _) in both_kinds("/a/Busy", &body, &text) {
        fails(&server, &call, "14", "503 Service Temporarily Unavailable");
    }
    assert!(server.error_log().contains("upstream sent content type"));
}

#[test]
fn a_response_that_breaks_off_between_messages_ends_with_a_status() {
    if is_nginx() {
        return;
    }
    let (upstream, gate) = service();
    let server = server(&upstream, "").start();
    let body = message(b"");
    let text = base64(&body);
    let unavailable = "grpc-status: 14\r\ngrpc-message: upstream broke off the response\r\n";
    let unknown = "grpc-status: 2\r\ngrpc-message: upstream sent no grpc-status\r\n";
    for (path, end) in [("/a/Breaks", unavailable), ("/a/Silent", unknown)] {
        for (call, kind) in both_kinds(path, &body, &text) {
            gate.send(()).unwrap();
            gate.send(()).unwrap();
            for answer in call.by_both(&server) {
                assert_eq!(answer.end(), (200, Some(kind), None, None));
                let expected = [(0, "one".to_owned()), (0x80, end.to_owned())];
                assert_eq!(answer.frames(), expected, "{path}");
            }
        }
    }
}

#[test]
fn a_stream_that_is_silent_too_long_ends_with_a_status() {
    if is_nginx() {
        return;
    }
    let (upstream, _gate) = service();
    let server = server(&upstream, "grpc_read_timeout 2s;").start();
    let call = Call { path: "/a/Stops", lines: TEXT, body: &base64(&message(b"")) };
    let end = "grpc-status: 14\r\ngrpc-message: upstream broke off the response\r\n";
    let answer = call.by_h2(&server);
    assert_eq!(answer.frames(), [(0, "one".to_owned()), (0x80, end.to_owned())]);
    assert!(server.error_log().contains("upstream timed out"));
}

#[test]
fn a_response_that_breaks_off_within_a_message_is_cut() {
    if is_nginx() {
        return;
    }
    let (upstream, _gate) = service();
    let server = server(&upstream, "").start();
    for path in ["/a/Cut", "/a/Forges"] {
        let mut client = H2Client::of(&server);
        let answer = client.post(path, BINARY, &message(b""));
        assert!(!answer.complete && answer.reset.is_some(), "{answer:?}");
        let mut client = server.client();
        let body = message(b"");
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\n{BINARY}\r\nContent-Length: 5\r\n\r\n"
        ));
        client.send(&body);
        client.try_response(false).expect_err("a cut response");
    }
    let log = server.error_log();
    assert!(log.contains("upstream sent a gRPC message that is cut while reading upstream"));
    assert!(log.contains("upstream sent a frame of trailers as a gRPC message"));
}

/// A server without a service behind `/dead/` and the like, and a page for errors.
fn failing(upstream: &H2Upstream) -> Server {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = closed.local_addr().unwrap();
    drop(closed);
    Server::http(
        "http2 on; limit_req_zone $server_name zone=one:32k rate=1r/m;
         server { listen 127.0.0.1:%port%; server_name localhost; grpc_web on;
           error_page 404 502 503 /page.html; root %dir%;
           location / { grpc_pass grpc://%upstream%; client_max_body_size 100; }
           location /dead/ { grpc_pass grpc://%dead%; add_header X-Cors yes; }
           location /slow/ { grpc_pass grpc://%upstream%; grpc_read_timeout 50ms; }
           location /limited/ { grpc_pass grpc://%upstream%; limit_req zone=one; }
           location /denied/ { grpc_pass grpc://%upstream%; deny all; }
           location /asked/ { grpc_pass grpc://%upstream%; auth_request /auth; }
           location = /auth { internal; grpc_pass grpc://%dead%; }
           location /returned/ { grpc_pass grpc://%upstream%; return 404; }
           location /moved/ { grpc_pass grpc://%upstream%; return 307 /other; }
           location /named/ { grpc_pass grpc://%dead%; error_page 502 = @own; }
           location @own { add_header grpc-status 9; return 204; }
           location /again/ { grpc_pass grpc://%dead%; error_page 502 = @again; }
           location @again { grpc_pass grpc://%upstream%; rewrite ^ /a/Echo break; }
           location = /page.html { }
           location /changed/ { grpc_pass grpc://%dead%; error_page 502 =200 /page.html; }
           location /files/ { } }",
    )
    .file("page.html", "<html>sorry</html>")
    .set("upstream", upstream.address())
    .set("dead", dead)
    .start()
}

#[test]
fn errors_of_our_own_have_a_status() {
    if is_nginx() {
        return;
    }
    // It answers nothing.
    let upstream = H2Upstream::new(|peer, _| {
        peer.frame(&Frame::settings(&[]));
        loop {
            peer.event()?;
        }
    });
    let server = failing(&upstream);
    let body = message(b"");
    let text = base64(&body);
    let check = |path: &str, status: &str, message: &str| {
        for (call, _) in both_kinds(path, &body, &text) {
            fails(&server, &call, status, message);
        }
    };
    check("/dead/x", "14", "502 Bad Gateway");
    check("/slow/x", "14", "504 Gateway Time-out");
    check("/denied/x", "7", "403 Forbidden");
    check("/asked/x", "2", "500 Internal Server Error");
    check("/returned/x", "12", "404 Not Found");
    let large = Call { path: "/", lines: BINARY, body: &[0; 101] };
    fails(&server, &large, "8", "413 Request Entity Too Large");
    let dead = Call { path: "/dead/x", lines: BINARY, body: &body };
    for answer in dead.by_both(&server) {
        assert_eq!(answer.field("x-cors"), Some("yes"));
    }
    // Locations without grpc_pass have nothing to do with it, and neither have other requests.
    for answer in (Call { path: "/files/x", ..dead }).by_both(&server) {
        assert_eq!((answer.status, answer.field("grpc-status")), (404, None));
    }
    let answer = server.get("/dead/x");
    assert_eq!((answer.status, answer.text()), (502, "<html>sorry</html>".to_owned()));
}

#[test]
fn what_the_configuration_answers_instead_is_left_alone() {
    if is_nginx() {
        return;
    }
    let (upstream, _gate) = service();
    let server = failing(&upstream);
    let body = message(b"");
    let text = base64(&body);
    let call = |path| Call { path, lines: BINARY, body: &body };
    // The first request of the zone is let through.
    call("/limited/x").by_h1(&server);
    for (call, _) in both_kinds("/limited/x", &body, &text) {
        fails(&server, &call, "14", "503 Service Temporarily Unavailable");
    }
    for answer in call("/moved/x").by_both(&server) {
        assert_eq!((answer.status, answer.field("grpc-status")), (307, None));
    }
    // A page in gRPC's own way, one in another, and a location that stands in.
    for answer in call("/named/x").by_both(&server) {
        assert_eq!((answer.status, answer.field("grpc-status")), (204, Some("9")));
    }
    for answer in call("/changed/x").by_both(&server) {
        assert_eq!((answer.status, &answer.body[..]), (200, &b"<html>sorry</html>"[..]));
    }
    for answer in call("/again/x").by_both(&server) {
        assert_eq!(answer.frames().len(), 2, "{answer:?}");
    }
}

#[test]
fn a_mirror_gets_a_translated_request() {
    if is_nginx() {
        return;
    }
    let (upstream, _gate) = service();
    let (told, seen) = channel();
    let told = Mutex::new(told);
    let copies = H2Upstream::answering(move |peer, stream, _, body| {
        told.lock().unwrap().send(body).unwrap();
        peer.fields(stream, &[(":status", "200")], true);
    });
    let backend = Backend::text("plain");
    let server = Server::http(
        "http2 on; server { listen 127.0.0.1:%port%; server_name localhost; grpc_web on;
           client_body_buffer_size 1k;
           location / { grpc_pass grpc://%upstream%; mirror /copy; }
           location = /copy { internal; grpc_pass grpc://%copies%; }
           location /plain { proxy_pass http://%backend%; } }",
    )
    .set("upstream", upstream.address())
    .set("copies", copies.address())
    .set("backend", backend.address())
    .start();
    // From memory, and from a file.
    for length in [3, 100_000] {
        let body = message(&vec![b'x'; length]);
        let call = Call { path: "/a/Echo", lines: TEXT, body: &base64(&body) };
        for answer in call.by_both(&server) {
            assert_eq!(answer.frames()[0].1.len(), length);
            let copy = seen.recv_timeout(crate::harness::PATIENCE).expect("a copy");
            assert_eq!(copy, body);
        }
    }
    let call = Call { path: "/plain", lines: TEXT, body: b"AAAA" };
    assert_eq!(call.by_h1(&server).body, b"plain");
}

#[test]
fn a_malformed_call_is_never_whole_for_the_server() {
    if is_nginx() {
        return;
    }
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&calls);
    let upstream = H2Upstream::answering(move |peer, stream, _, _| {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        peer.fields(stream, &[(":status", "200"), ("grpc-status", "0")], true);
    });
    let server = server(&upstream, "").start();
    let cut = base64(&message(b"hello")[..8]);
    for (lines, body) in [(TEXT, &b"*"[..]), (TEXT, &cut), (TEXT, b"AA"), (BINARY, b"\0\0\0")] {
        let call = Call { path: "/", lines, body };
        for answer in call.by_both(&server) {
            assert_eq!(answer.field("grpc-status"), Some("13"));
        }
    }
    let good = Call { path: "/", lines: BINARY, body: &message(b"hello") };
    for answer in good.by_both(&server) {
        assert_eq!(answer.field("grpc-status"), Some("0"));
    }
    assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[test]
fn a_connection_is_kept_after_an_error_and_the_log_has_both_statuses() {
    if is_nginx() {
        return;
    }
    let server = Server::http(
        "log_format both '$status $upstream_status $sent_http_grpc_status';
         server { listen 127.0.0.1:%port%; server_name localhost; access_log %dir%/a.log both;
           location / { grpc_pass grpc://127.0.0.1:%port2%; grpc_web on; } }",
    )
    .start();
    let mut client = server.client();
    for _ in 0..2 {
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\n{BINARY}\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0"
        ));
        let answer = client.response();
        assert_eq!((answer.status, answer.header("grpc-status")), (200, Some("14")));
    }
    assert_eq!(server.wait_lines("a.log", 2), ["200 502 14"; 2]);
}
