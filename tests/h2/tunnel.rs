//! `tunnel_pass`: tunnels of CONNECT over HTTP/2 (RFC 9113 section 8.5).

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::JoinHandle;

use super::server;
use crate::harness::{Frame, H2Client, Server, Signal, code, is_nginx, until};

/// A server for one connection: returns what it gets in upper case, and says goodbye at its end.
fn shouting() -> (String, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut all, mut bytes) = (Vec::new(), [0; 16 * 1024]);
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            all.extend_from_slice(&bytes[..count]);
            if stream.write_all(&bytes[..count].to_ascii_uppercase()).is_err() {
                return all;
            }
        }
        let _ = stream.write_all(b"-bye");
        all
    });
    (address, served)
}

const CONF: &str = "location / { tunnel_pass; } location = /own { return 200 own; }";

/// Opens a tunnel to this address.
fn open(client: &mut H2Client, address: &str) -> u32 {
    let stream = client.open(&[(":method", "CONNECT"), (":authority", address)], false);
    let head = client.partly(stream, |answer| answer.status != 0 || answer.reset.is_some());
    assert_eq!(head.status, 200);
    assert_eq!((head.field("content-length"), head.complete), (None, false));
    stream
}

/// Sends a text, and waits until it has come back.
fn talk(client: &mut H2Client, stream: u32, text: &str) {
    let before = client.so_far(stream).body.len();
    client.frame(&Frame::data(stream, text, false));
    let after = client.partly(stream, |answer| answer.body.len() >= before + text.len());
    assert_eq!(after.body[before..], text.to_ascii_uppercase().into_bytes());
}

#[test]
fn bytes_pass_both_ways_up_to_the_end_of_either() {
    if is_nginx() {
        return;
    }
    let (address, served) = shouting();
    let server = server(CONF).start();
    let mut client = H2Client::of(&server);
    let stream = open(&mut client, &address);
    for text in ["one", "two"] {
        talk(&mut client, stream, text);
    }
    // Other streams share the connection.
    assert_eq!(client.get("/own").text(), "own");
    // The client's end reaches the server, which can still answer.
    client.frame(&Frame::data(stream, "end", true));
    assert_eq!(client.answer(stream).text(), "ONETWOEND-bye");
    assert_eq!(served.join().unwrap(), b"onetwoend");
    assert_eq!(client.gone, None);
}

#[test]
fn much_passes_at_the_pace_of_the_slower_side() {
    if is_nginx() {
        return;
    }
    let (address, served) = shouting();
    let server = server(CONF).start();
    let mut client = H2Client::of(&server);
    let stream = open(&mut client, &address);
    let body: Vec<u8> = (0..3_000_000).map(|at| b'a' + (at % 23) as u8).collect();
    client.upload(stream, &body, true);
    let answer = client.answer(stream);
    assert_eq!(answer.body.len(), body.len() + 4);
    assert!(answer.body[..body.len()] == body.to_ascii_uppercase());
    assert!(served.join().unwrap() == body);
}

#[test]
fn a_reset_closes_the_connection_behind() {
    if is_nginx() {
        return;
    }
    let (address, served) = shouting();
    let server = server(CONF).start();
    let mut client = H2Client::of(&server);
    let stream = open(&mut client, &address);
    talk(&mut client, stream, "before");
    client.frame(&Frame::reset(stream, code::CANCEL));
    assert_eq!(served.join().unwrap(), b"before");
    assert_eq!(client.get("/own").text(), "own");
}

#[test]
fn what_cannot_be_reached_is_an_error() {
    if is_nginx() {
        return;
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap().to_string();
    drop(closed);
    let server = server(CONF).start();
    let mut client = H2Client::of(&server);
    let stream = client.open(&[(":method", "CONNECT"), (":authority", &*address)], false);
    assert_eq!(client.partly(stream, |answer| answer.complete).status, 502);
    // A destination has a port.
    let stream = client.open(&[(":method", "CONNECT"), (":authority", "localhost")], false);
    assert_eq!(client.partly(stream, |answer| answer.complete).status, 400);
    assert_eq!(client.get("/own").text(), "own");
}

/// The server behind ends its side first.
#[test]
fn an_end_from_behind_ends_the_stream() {
    if is_nginx() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = server(CONF).start();
    let mut client = H2Client::of(&server);
    let stream = open(&mut client, &listener.local_addr().unwrap().to_string());
    let (mut behind, _): (TcpStream, _) = listener.accept().unwrap();
    behind.write_all(b"all").unwrap();
    behind.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.answer(stream).text(), "all");
    assert_eq!(client.get("/own").text(), "own");
}

#[test]
fn a_reload_leaves_tunnels_alone() {
    if is_nginx() {
        return;
    }
    let (address, served) = shouting();
    let conf = |own: &str| {
        format!(
            "http2 on; server {{ listen 127.0.0.1:%port%; server_name localhost;
             location / {{ tunnel_pass; }} location = /own {{ return 200 {own}; }} }}"
        )
    };
    let server = Server::http(&conf("old")).start();
    let mut client = H2Client::of(&server);
    let stream = open(&mut client, &address);
    talk(&mut client, stream, "before");
    server.rewrite_http(&conf("new"));
    server.signal(Signal::HUP);
    until("the new configuration", || H2Client::of(&server).get("/own").text() == "new");
    talk(&mut client, stream, "after");
    client.frame(&Frame::data(stream, "", true));
    assert_eq!(client.answer(stream).text(), "BEFOREAFTER-bye");
    assert_eq!(served.join().unwrap(), b"beforeafter");
}
