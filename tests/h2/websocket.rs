//! WebSocket by extended CONNECT (RFC 8441), to upstreams of HTTP/1.1.

use std::io::{Read, Write};

use super::server;
use crate::harness::{Backend, Frame, H2Client, Reply, code, is_nginx, request};

/// An upstream that takes the upgrade, and returns what it gets in upper case.
fn shouting() -> Backend {
    Backend::new(|seen| {
        if seen.header("Upgrade").is_none_or(|value| !value.eq_ignore_ascii_case("websocket")) {
            return Reply::with("400 Bad Request", "", "no upgrade");
        }
        if seen.target() == "/refused" {
            return Reply::with("403 Forbidden", "", "no");
        }
        assert_eq!(seen.line.split(' ').next(), Some("GET"));
        assert!(seen.header("Sec-WebSocket-Key").is_some(), "{seen:?}");
        Reply::Custom(Box::new(|stream| {
            let head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                Upgrade: websocket\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
            let _ = stream.write_all(head);
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut bytes) {
                if stream.write_all(&bytes[..count].to_ascii_uppercase()).is_err() {
                    return;
                }
            }
            let _ = stream.write_all(b"-bye");
        }))
    })
}

const CONF: &str = "location / { proxy_pass http://%backend%; proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }";

fn connect(path: &str) -> Vec<(String, String)> {
    let mut fields = request("CONNECT", path, "sec-websocket-version: 13");
    fields.insert(1, (":protocol".to_owned(), "websocket".to_owned()));
    fields
}

#[test]
fn bytes_pass_both_ways() {
    if is_nginx() {
        // It has no extended CONNECT.
        return;
    }
    let backend = shouting();
    let server = server(CONF).set("backend", backend.address()).start();
    let mut client = H2Client::of(&server);
    assert!(client.wait_settings().contains(&(8, 1)), "SETTINGS_ENABLE_CONNECT_PROTOCOL");
    let stream = client.open(&connect("/chat"), false);
    let answer = client.partly(stream, |answer| answer.status != 0);
    assert_eq!((answer.status, answer.field("sec-websocket-protocol")), (200, Some("chat")));
    assert!(answer.field("upgrade").is_none() && answer.field("connection").is_none());
    assert!(answer.field("content-length").is_none());
    for text in ["one", "two"] {
        let before = client.so_far(stream).body.len();
        client.frame(&Frame::data(stream, text, false));
        client.partly(stream, |answer| answer.body.len() >= before + text.len());
    }
    // Other streams share the connection.
    assert_eq!(client.get("/plain").status, 400);
    client.frame(&Frame::data(stream, "end", true));
    assert_eq!(client.answer(stream).text(), "ONETWOEND-bye");
}

#[test]
fn a_refusal_is_a_response() {
    if is_nginx() {
        return;
    }
    let backend = shouting();
    let server = server(CONF).set("backend", backend.address()).start();
    let mut client = H2Client::of(&server);
    client.wait_settings();
    let stream = client.open(&connect("/refused"), false);
    let answer = client.partly(stream, |answer| answer.complete);
    assert_eq!((answer.status, answer.text()), (403, "no".to_owned()));
    assert_eq!(client.get("/plain").status, 400, "the connection lives");
}

#[test]
fn a_reset_closes_the_upstream_connection() {
    if is_nginx() {
        return;
    }
    let (told, ends) = std::sync::mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let backend = Backend::new(move |_| {
        let told = told.lock().unwrap().clone();
        Reply::Custom(Box::new(move |stream| {
            let head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                Upgrade: websocket\r\n\r\n";
            let _ = stream.write_all(head);
            while let Ok(1..) = stream.read(&mut [0; 100]) {}
            let _ = told.send(());
        }))
    });
    let server = server(CONF).set("backend", backend.address()).start();
    let mut client = H2Client::of(&server);
    client.wait_settings();
    let stream = client.open(&connect("/"), false);
    client.partly(stream, |answer| answer.status == 200);
    client.frame(&Frame::reset(stream, code::CANCEL));
    ends.recv_timeout(crate::harness::PATIENCE).expect("the end of the upstream connection");
}

#[test]
fn other_protocols_are_refused() {
    if is_nginx() {
        return;
    }
    let backend = shouting();
    let server = server(CONF).set("backend", backend.address()).start();
    let mut client = H2Client::of(&server);
    client.wait_settings();
    let mut fields = connect("/");
    fields[1].1 = "connect-udp".to_owned();
    let stream = client.open(&fields, false);
    let answer = client.answer(stream);
    assert!(answer.status >= 400 || answer.reset.is_some(), "{answer:?}");
    let mut fields = request("GET", "/", "");
    fields.insert(1, (":protocol".to_owned(), "websocket".to_owned()));
    let stream = client.open(&fields, true);
    let answer = client.answer(stream);
    assert!(answer.status == 400 || answer.reset.is_some(), "{answer:?}");
    assert_eq!(client.gone, None);
}
