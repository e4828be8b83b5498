//! Strangers at the port of links.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::partner::{connect, rest};
use super::*;
use crate::harness::{PATIENCE, Port, is_nginx, until};

const TLS13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];
const TLS12: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];

#[test]
fn strangers_get_nowhere_and_the_pair_goes_on() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = pair(&port);
    let tcp = || {
        let stream = TcpStream::connect(("127.0.0.1", port.number())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    // Plain bytes, and no bytes at all.
    let mut plain = tcp();
    let _ = plain.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(answer.len() < 16, "an alert at most: {answer:?}");
    drop(tcp());
    // No certificate, another node's certificate, an old version of TLS, another protocol.
    let other = Port::reserve();
    let (stranger, _) = Node::first(&other);
    let folder = stranger.server.directory().join("state/ha");
    for (identity, alpn, versions) in [
        (None, &b"weir-link"[..], TLS13),
        (Some(folder.as_path()), b"weir-link", TLS13),
        (Some(folder.as_path()), b"weir-leave", TLS13),
        (None, b"weir-join", TLS13),
        (Some(folder.as_path()), b"h2", TLS13),
        (Some(folder.as_path()), b"weir-link", TLS12),
    ] {
        let mut stream = connect(&port, identity, alpn, versions);
        let _ = stream.write_all(b"\x01\x00\x00\x04WEIR");
        let (answer, error) = rest(&mut stream);
        assert!(answer.is_empty() && error.is_some(), "{alpn:?}: {answer:?}");
    }
    a.server.wait_log("127.0.0.1 has no certificate that is pinned here");
    assert_eq!(a.server.text("/"), "here");
    assert_eq!((a.lines("link to node \"b\" is up"), b.lines("is down")), (1, 0));
}

#[test]
fn bytes_that_drip_take_a_place_for_five_seconds_at_most() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, _token) = Node::first(&port);
    let mut drip = TcpStream::connect(("127.0.0.1", port.number())).unwrap();
    drip.set_nonblocking(true).unwrap();
    let begun = Instant::now();
    // A hello of 512 bytes, one at a time.
    let mut hello = [22, 3, 1, 2, 0, 1, 0, 1, 252].into_iter().chain(std::iter::repeat(0));
    until("the end of a hello that drips", || {
        std::thread::park_timeout(Duration::from_millis(50));
        let byte = hello.next().unwrap();

        (matches!(drip.read(&mut [0; 64]), Ok(0)) || drip.write_all(&[byte]).is_err())
    });
    assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(a.server.text("/"), "here");
}

#[test]
fn a_thousand_connections_cost_the_pair_nothing() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = pair(&port);
    let mut held: Vec<TcpStream> = Vec::new();
    for number in 0..1000_u32 {
        // From many addresses.
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::INET,
            rustix::net::SocketType::STREAM,
            None,
        );
        let socket = socket.unwrap();
        let [_, high, low] = [0, (number / 250 + 1) as u8, (number % 250 + 1) as u8];
        let from = std::net::SocketAddr::from(([127, 1, high, low], 0));
        rustix::net::bind(&socket, &from).unwrap();
        let to = std::net::SocketAddr::from(([127, 0, 0, 1], port.number()));
        rustix::net::connect(&socket, &to).unwrap();
        held.push(TcpStream::from(socket));
    }
    // All but a few are closed at once.
    let mut open = 1000;
    until("the end of most of them", || {
        open = 0;
        for stream in &mut held {
            stream.set_nonblocking(true).unwrap();
            open += usize::from(!matches!(stream.read(&mut [0; 8]), Ok(0)));
        }
        open <= 16
    });
    a.server.wait_log("too many unknown connections");
    assert_eq!(a.server.text("/"), "here");
    // Meanwhile the partner can come back.
    crate::harness::send_signal(b.worker(), crate::harness::Signal::KILL);
    a.wait_lines("link to node \"b\" is up", 2);
    a.wait_status("link to b: up");
}
