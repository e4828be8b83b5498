//! gRPC: calls of all kinds, and what ends them.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use super::{GRPC, server};
use crate::harness::{
    Event, Frame, H2Client, H2Upstream, PATIENCE, Server, code, is_nginx, request,
};

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
    ends.recv_timeout(PATIENCE).expect("the end of the call");
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
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
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

/// A client may send larger frames once it has made a call, as behind nginx.
#[test]
fn messages_may_come_in_large_frames() {
    let upstream = service();
    let server = server(&upstream, GRPC).start();
    let message = vec![b'm'; 60_000];
    let mut client = H2Client::of(&server);
    let stream = client.open(&call("/a/B"), false);
    client.frame(&Frame::data(stream, message.clone(), true));
    let answer = client.answer(stream);
    assert_eq!((answer.status, answer.body.len()), (200, message.len()));
    assert_eq!(answer.trailer("grpc-status"), Some("0"));
    if is_nginx() {
        return;
    }
    let mut client = H2Client::of(&server);
    let stream = client.open(&request("POST", "/a/B", ""), false);
    client.frame(&Frame::data(stream, message, true));
    assert_eq!(client.end(), Some(code::FRAME_SIZE_ERROR));
}
