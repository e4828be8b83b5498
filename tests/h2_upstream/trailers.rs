//! Trailers of requests.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::{PROXY, server};
use crate::harness::{Event, Frame, H2Client, H2Upstream, PATIENCE, Server, is_nginx, request};

/// An upstream that answers with the fields and bodies of the request in the order in which they
/// came: `head`, `data: …` and `trailers: name=value …`.
fn hearing() -> H2Upstream {
    H2Upstream::new(|peer, _| {
        peer.frame(&Frame::settings(&[]));
        let mut said: Vec<(u32, String)> = Vec::new();
        loop {
            let (stream, word, end) = match peer.event()? {
                Event::Fields { stream, fields, end } => {
                    let is_head = fields.iter().any(|(name, _)| name == ":method");
                    let pairs = fields.iter().map(|(name, value)| format!("{name}={value}"));
                    let text = match is_head {
                        true => "head".to_owned(),
                        false => format!("trailers: {}", pairs.collect::<Vec<_>>().join(" ")),
                    };
                    (stream, text, end)
                }
                Event::Data { stream, bytes, .. } if bytes.is_empty() => {
                    (stream, String::new(), true)
                }
                Event::Data { stream, bytes, end } => {
                    (stream, format!("data: {}", String::from_utf8_lossy(&bytes)), end)
                }
                _ => continue,
            };
            said.push((stream, word));
            if end {
                let own = said.iter().filter(|(id, word)| *id == stream && !word.is_empty());
                let text = own.map(|(_, word)| word.as_str()).collect::<Vec<_>>().join("\n");
                peer.fields(stream, &[(":status", "200")], false);
                peer.frame(&Frame::data(stream, text, true));
            }
        }
    })
}

/// A request with a body of these parts and trailers.
fn post_with_trailers(client: &mut H2Client, path: &str, parts: &[&str]) -> String {
    let stream = client.open(&request("POST", path, "x-set: by the client"), false);
    for part in parts {
        client.frame(&Frame::data(stream, *part, false));
    }
    let trailers = [
        ("x-sum", "12"),
        ("x-set", "by a trailer"),
        ("host", "other"),
        ("authorization", "Basic eA=="),
        ("x-last", "yes"),
    ];
    client.fields(stream, &trailers, true);
    let answer = client.answer(stream);
    assert_eq!(answer.status, 200, "{path}");
    answer.text()
}

/// Trailers of requests are passed on if that is wanted, but for those that the configuration sets
/// and those that are none.
#[test]
fn trailers_of_requests() {
    if is_nginx() {
        // It ends the connection.
        return;
    }
    let upstream = hearing();
    let server = Server::http(
        "http2 on; upstream u { server %upstream%; keepalive 8; }
         server { listen 127.0.0.1:%port%; proxy_http_version 2; proxy_set_header X-Set ours;
             grpc_set_header X-Set ours;
             location /off { proxy_pass http://u; }
             location /off/grpc { grpc_pass u; }
             location /on { proxy_pass_request_trailers on; proxy_pass http://u; }
             location /on/streamed { proxy_pass_request_trailers on; proxy_request_buffering off;
                 proxy_pass http://u; }
             location /on/none { proxy_pass_request_trailers on; proxy_pass_request_body off;
                 proxy_pass http://u; }
             location /on/grpc { grpc_pass_request_trailers on; grpc_pass u; } }",
    )
    .set("upstream", upstream.address())
    .start();
    let mut client = H2Client::of(&server);
    let passed = "trailers: x-sum=12 x-last=yes";
    for path in ["/off", "/off/grpc"] {
        assert_eq!(post_with_trailers(&mut client, path, &["body"]), "head\ndata: body", "{path}");
    }
    for path in ["/on", "/on/streamed", "/on/grpc"] {
        let text = post_with_trailers(&mut client, path, &["body"]);
        assert_eq!(text, format!("head\ndata: body\n{passed}"), "{path}");
        let text = post_with_trailers(&mut client, path, &[]);
        assert_eq!(text, format!("head\n{passed}"), "{path}");
    }
    assert_eq!(post_with_trailers(&mut client, "/on/none", &["body"]), "head");
    // Those of HTTP/1, too.
    let mut client = server.client();
    client.send(
        "POST /on/streamed HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         4\r\nbody\r\n0\r\nX-Sum: 12\r\nX-Set: 1\r\nX-Last: yes\r\n\r\n",
    );
    assert_eq!(client.response().text(), format!("head\ndata: body\n{passed}"));
    assert_eq!(upstream.connections(), 1);
}

/// Over HTTP/1.1, trailers follow a body in chunks.
#[test]
fn trailers_of_requests_in_chunks() {
    if is_nginx() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, requests) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            connection.set_read_timeout(Some(PATIENCE)).unwrap();
            let (mut text, mut piece) = (Vec::new(), [0; 4096]);
            while !text.ends_with(b"yes\r\n\r\n") && !text.ends_with(b"\r\n\r\nbody") {
                let count = connection.read(&mut piece).unwrap();
                assert!(count > 0, "{}", String::from_utf8_lossy(&text));
                text.extend_from_slice(&piece[..count]);
            }
            connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            let _ = told.send(String::from_utf8(text).unwrap());
        }
    });
    let server = Server::http(
        "http2 on; server { listen 127.0.0.1:%port%; proxy_pass_request_trailers on;
             location / { proxy_request_buffering off; proxy_pass http://%backend%; }
             location /buffered { proxy_pass http://%backend%; }
             location /old { proxy_http_version 1.0; proxy_pass http://%backend%; } }",
    )
    .set("backend", address)
    .start();
    let mut client = H2Client::of(&server);
    let trailers = "x-sum: 12\r\nx-set: by a trailer\r\nx-last: yes\r\n\r\n";
    for (parts, chunks) in [(&["body"][..], "4\r\nbody\r\n"), (&[], "")] {
        for path in ["/", "/buffered"] {
            post_with_trailers(&mut client, path, parts);
            let text = requests.recv_timeout(PATIENCE).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert_eq!(body, format!("{chunks}0\r\n{trailers}"), "{text}");
            assert!(head.contains("\r\nTransfer-Encoding: chunked"), "{text}");
            assert!(!head.contains("Content-Length"), "{text}");
        }
    }
    post_with_trailers(&mut client, "/old", &["body"]);
    let text = requests.recv_timeout(PATIENCE).unwrap();
    assert!(text.ends_with("\r\n\r\nbody") && !text.contains("x-sum"), "{text}");
}

/// Trailers that are no fields are the client's fault.
#[test]
fn malformed_trailers_of_requests_are_refused() {
    if is_nginx() {
        return;
    }
    let upstream = hearing();
    let server = server(&upstream, PROXY).start();
    for bad in [(":path", "/"), ("X-Upper", "1"), ("connection", "close"), ("x-bad", "a\nb")] {
        let mut client = H2Client::of(&server);
        let stream = client.open(&request("POST", "/", ""), false);
        client.fields(stream, &[bad], true);
        assert_eq!(client.answer(stream).status, 400, "{bad:?}");
    }
}
