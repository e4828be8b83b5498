//! Calls that go well.

use super::*;
use crate::harness::is_nginx;

const TRAILERS: &str = "grpc-status: 0\r\ngrpc-message: all%20well\r\nx-end-bin: AQI=\r\n";

#[test]
fn messages_and_trailers_are_translated() {
    if is_nginx() {
        return;
    }
    let (upstream, _gate) = service();
    let server = server(&upstream, "").start();
    let body = [message(b"hello"), message(b""), frame(1, b"\0\x01")].concat();
    // Texts in a row, one of which ends within a message.
    let texts = [base64(&body[..3]), base64(&body[3..10]), base64(&body[10..])].concat();
    for (call, content_type) in both_kinds("/a/Echo", &body, &texts) {
        for answer in call.by_both(&server) {
            assert_eq!(answer.end(), (200, Some(content_type), None, None), "{answer:?}");
            assert_eq!(answer.field("x-head"), Some("yes"));
            let expected = [(0, "hello"), (0, ""), (1, "\0\u{1}"), (0x80, TRAILERS)];
            assert_eq!(answer.frames(), expected.map(|(flags, text)| (flags, text.to_owned())));
        }
    }
    // A compressed message of the server, too.
    for (call, _) in both_kinds("/a/Other", &message(b""), &base64(&message(b""))) {
        for answer in call.by_both(&server) {
            assert_eq!(answer.frames()[0], (1, "compressed".to_owned()));
        }
    }
}

#[test]
fn the_server_gets_plain_grpc() {
    if is_nginx() {
        return;
    }
    let (upstream, _gate) = service();
    let server = server(&upstream, "grpc_set_header X-Internal $grpc_internal_trailers;").start();
    // A length whose bytes are ASCII.
    let long = message(&[b'x'; 0x1_0101]);
    for body in [message(b"m"), long] {
        let text = base64(&body);
        for (call, _) in both_kinds("/a/Seen", &body, &text) {
            for answer in call.by_both(&server) {
                let frames = answer.frames();
                let (seen, sent) = frames[0].1.split_once("\n\n").unwrap();
                let has = |line: &str| seen.lines().any(|other| other == line);
                assert!(has("content-type: application/grpc+proto"), "{seen}");
                assert!(has("te: trailers") && has("x-internal: trailers"), "{seen}");
                assert!(!seen.contains("content-length"), "{seen}");
                assert!(sent.as_bytes() == body, "{} bytes", sent.len());
            }
        }
    }
}

#[test]
fn the_client_chooses_the_form_of_the_answer() {
    if is_nginx() {
        return;
    }
    let (upstream, _gate) = service();
    let server = server(&upstream, "").start();
    let body = message(b"hello");
    let lines = format!("{BINARY}\naccept: application/grpc-web-text");
    for answer in (Call { path: "/a/Echo", lines: &lines, body: &body }).by_both(&server) {
        let content_type = answer.field("content-type");
        assert_eq!(content_type, Some("application/grpc-web-text+proto"));
        assert_eq!(answer.frames()[0], (0, "hello".to_owned()));
        assert_eq!(answer.frames().len(), 2);
    }
}

#[test]
fn messages_of_a_stream_come_one_by_one() {
    if is_nginx() {
        return;
    }
    let (upstream, gate) = service();
    let server = server(&upstream, "gzip on; gzip_types *;").start();
    let message_of = |text: &str| message(text.as_bytes());
    let body = message(b"");
    let text = base64(&body);
    for (call, kind) in both_kinds("/a/Stream", &body, &text) {
        let form = |bytes: Vec<u8>| if kind.contains("text") { base64(&bytes) } else { bytes };
        let mut client = server.client();
        client.send(format!(
            "POST {} HTTP/1.1\r\nHost: localhost\r\n{}\r\nContent-Length: {}\r\n\r\n",
            call.path,
            call.lines,
            call.body.len()
        ));
        client.send(call.body);
        assert_eq!(client.head().header("content-type"), Some(kind));
        let mut h2 = H2Client::of(&server);
        for word in ["one", "seven", ""] {
            let expected = form(message_of(word));
            let mut found = Vec::new();
            while found.len() < expected.len() {
                found.extend(client.take_chunk());
            }
            assert_eq!(found, expected, "{word}");
            gate.send(()).unwrap();
        }
        let mut rest = Vec::new();
        loop {
            match client.take_chunk() {
                chunk if chunk.is_empty() => break,
                chunk => rest.extend(chunk),
            }
        }
        assert_eq!(rest, form(frame(0x80, TRAILERS.as_bytes())));
        let stream = h2.open(&request("POST", call.path, call.lines), false);
        h2.frame(&Frame::data(stream, call.body, true));
        let mut length = 0;
        for word in ["one", "seven", ""] {
            length += form(message_of(word)).len();
            let so_far = h2.partly(stream, |answer| answer.body.len() >= length);
            assert_eq!(so_far.body.len(), length, "{word}");
            gate.send(()).unwrap();
        }
        assert!(h2.answer(stream).body.ends_with(&form(frame(0x80, TRAILERS.as_bytes()))));
    }
}

#[test]
fn requests_pass_as_they_come() {
    if is_nginx() {
        return;
    }
    let (upstream, _gate) = service();
    let server = server(&upstream, "").start();
    // A message is answered before the next one is sent; the text is cut anywhere.
    let text = base64(&[message(b"hello"), message(b"again")].concat());
    let mut client = H2Client::of(&server);
    let stream = client.open(&request("POST", "/a/Echo", TEXT), false);
    client.frame(&Frame::data(stream, &text[..15], false));
    let first = base64(&message(b"hello"));
    client.partly(stream, |answer| answer.body.starts_with(&first));
    client.frame(&Frame::data(stream, &text[15..], true));
    let answer = client.answer(stream);
    let second = base64(&message(b"again"));
    let end = base64(&frame(0x80, TRAILERS.as_bytes()));
    assert_eq!(answer.body, [first, second, end].concat());
    // And in chunks.
    let mut client = server.client();
    client.send(format!(
        "POST /a/Echo HTTP/1.1\r\nHost: localhost\r\n{TEXT}\r\nTransfer-Encoding: chunked\r\n\r\n"
    ));
    client.head();
    for piece in text.chunks(7) {
        client.send(format!("{:x}\r\n", piece.len())).send(piece).send("\r\n");
    }
    client.send("0\r\n\r\n");
    let mut found = Vec::new();
    loop {
        match client.take_chunk() {
            chunk if chunk.is_empty() => break,
            chunk => found.extend(chunk),
        }
    }
    assert_eq!(found, answer.body);
}

#[test]
fn trailers_alone_stay_in_the_head() {
    if is_nginx() {
        return;
    }
    let (upstream, _gate) = service();
    let server = server(&upstream, "").start();
    let body = message(b"");
    let text = base64(&body);
    for ((call, _), kind) in both_kinds("/a/Fails", &body, &text)
        .into_iter()
        .zip(["application/grpc-web", "application/grpc-web-text"])
    {
        for answer in call.by_both(&server) {
            assert_eq!(answer.end(), (200, Some(kind), Some("5"), Some("not%20found")));
            assert_eq!((answer.field("x-own"), &answer.body[..]), (Some("1"), &b""[..]));
        }
    }
}

#[test]
fn other_requests_are_left_alone() {
    if is_nginx() {
        return;
    }
    let (upstream, _gate) = service();
    let server = server(&upstream, "").start();
    let mut client = H2Client::of(&server);
    let lines = "content-type: application/grpc\nte: trailers";
    let answer = client.post("/a/Echo", lines, &message(b"hello"));
    assert_eq!(answer.body, message(b"hello"));
    assert_eq!(answer.field("content-type"), Some("application/grpc+proto"));
    assert_eq!(answer.trailer("grpc-status"), Some("0"));
    let answer = client.post("/a/Busy", lines, &message(b"hello"));
    assert_eq!((answer.status, answer.field("content-type")), (503, Some("text/html")));
    // Whatever a body in another form says.
    let answer = client.post("/a/Seen", "content-type: application/grpc-webs", b"*");
    assert!(answer.text().ends_with("\n\n*"), "{answer:?}");
}

#[test]
fn without_the_directive_nothing_is_translated() {
    let (upstream, _gate) = service();
    let server = Server::http(
        "http2 on; server { listen 127.0.0.1:%port%; server_name localhost;
           location / { grpc_pass grpc://%upstream%; } }",
    )
    .set("upstream", upstream.address())
    .start();
    let mut client = H2Client::of(&server);
    let answer = client.post("/a/Seen", TEXT, b"AAAA");
    assert!(answer.text().contains("content-type: application/grpc-web-text+proto"), "{answer:?}");
    assert!(answer.text().ends_with("\n\nAAAA"), "{answer:?}");
    assert_eq!(answer.trailer("grpc-status"), Some("0"));
}

#[test]
fn filters_see_what_the_client_gets() {
    if is_nginx() {
        return;
    }
    let (upstream, _gate) = service();
    let conf = "gzip on; gzip_min_length 0; gzip_types *; add_trailer X-Tail $upstream_status;";
    let server = server(&upstream, conf).start();
    let body = message(b"hello");
    let lines = format!("{TEXT}\naccept-encoding: gzip");
    for answer in (Call { path: "/a/Echo", lines: &lines, body: &base64(&body) }).by_both(&server) {
        assert_eq!(answer.field("content-encoding"), Some("gzip"));
        let mut text = Vec::new();
        let mut unzipped = flate2::read::GzDecoder::new(&answer.body[..]);
        std::io::Read::read_to_end(&mut unzipped, &mut text).unwrap();
        let trailers = format!("{TRAILERS}x-tail: 200\r\n");
        let expected = [base64(&body), base64(&frame(0x80, trailers.as_bytes()))].concat();
        assert_eq!(String::from_utf8(text).unwrap(), String::from_utf8(expected).unwrap());
    }
}

#[test]
fn a_refused_call_is_translated_again() {
    if is_nginx() {
        return;
    }
    let bodies = std::sync::Arc::new(Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&bodies);
    let upstream = H2Upstream::answering(move |peer, stream, _, body| {
        let mut seen = seen.lock().unwrap();
        seen.push(body.clone());
        if seen.len() % 2 == 1 {
            peer.frame(&Frame::reset(stream, code::REFUSED_STREAM));
            return;
        }
        peer.fields(stream, &HEAD, false);
        peer.frame(&Frame::data(stream, body, false));
        peer.fields(stream, &[("grpc-status", "0")], true);
    });
    let server = Server::http(
        "http2 on; upstream u { server %upstream% max_fails=0; server %upstream% backup; }
         server { listen 127.0.0.1:%port%; server_name localhost;
           location / { grpc_pass grpc://u; grpc_web on; } }",
    )
    .set("upstream", upstream.address())
    .start();
    let body = message(b"once more");
    let text = base64(&body);
    for (call, _) in both_kinds("/a/B", &body, &text) {
        // In one piece, so that nothing is left to come from the client.
        let lines = call.lines;
        let head = format!(
            "POST /a/B HTTP/1.1\r\nHost: localhost\r\n{lines}\r\nContent-Length: {}\r\n\r\n",
            call.body.len()
        );
        let answer = server.ask([head.as_bytes(), call.body].concat());
        let found = Answer { status: 200, fields: answer.headers, body: answer.body };
        assert_eq!(found.frames()[0], (0, "once more".to_owned()));
    }
    assert_eq!(*bodies.lock().unwrap(), vec![body; 4]);
}
