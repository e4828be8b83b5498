//! Failed handshakes, byte by byte: the alert to the client, and the log line.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::harness::{Certificate, PATIENCE, Server};

fn server(settings: &str) -> Server {
    let setup = Server::http(&format!(
        "server {{ listen 127.0.0.1:%port% ssl; ssl_certificate a.crt; ssl_certificate_key a.key;
         {settings} return 200 ok; }}"
    ));
    Certificate::self_signed(setup.directory(), "a", "a.test");
    setup.start()
}

/// The bytes that a server sends before it closes the connection.
fn answer(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address("port")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut received = Vec::new();
    // A reset after the alert is an end as well.
    let _ = stream.read_to_end(&mut received);
    received
}

fn list(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

fn extension(number: u16, content: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes()[..], &list(content)].concat()
}

/// A hello of this version with these suites and extensions.
fn hello(version: u16, suites: &[u8], extensions: &[Vec<u8>]) -> Vec<u8> {
    let body = [
        &version.to_be_bytes()[..],
        &[7; 32],
        &[0],
        &list(suites),
        &[1, 0],
        &list(&extensions.concat()),
    ];
    message(1, &body.concat())
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let head = [kind, 0];
    [&[22, 3, 1][..], &list(&[&head[..], &list(body)].concat())].concat()
}

/// The alert at the end of the received bytes; 0 if there is none.
fn alert(received: &[u8]) -> u8 {
    match received {
        [.., 21, 3, _, 0, 2, 2, alert] => *alert,
        [] => 0,
        other => panic!("{other:?}"),
    }
}

const GROUPS: [u8; 4] = [0, 2, 0, 23];
const RSA: [u8; 4] = [0, 2, 8, 4];
const ECDSA: [u8; 4] = [0, 2, 4, 3];
const TLS13: [u8; 3] = [2, 3, 4];
/// A suite of TLS 1.3, and an ECDSA suite of TLS 1.2.
const SUITES: [u8; 4] = [0x13, 1, 0xc0, 0x2b];

#[test]
fn alerts_are_those_of_openssl() {
    let server = server("");
    let groups = || extension(10, &GROUPS);
    let signatures = |list: &[u8]| extension(13, list);
    let versions = || extension(43, &TLS13);
    let named = |name: &[u8]| extension(0, &list(&[&[0][..], &list(name)].concat()));
    let usual = [groups(), signatures(&ECDSA)];
    let no_sigalgs = "missing sigalgs extension";
    for (what, bytes, expected, told) in [
        ("no suite", hello(0x303, &[0xc0, 0x2f], &usual), 40, "no shared cipher"),
        ("old", hello(0x302, &SUITES, &[groups()]), 70, "unsupported protocol"),
        ("no suites", hello(0x303, &[], &usual), 47, "no ciphers specified"),
        ("twice", hello(0x303, &SUITES, &[groups(), groups()]), 47, "bad extension"),
        ("signatures", hello(0x303, &SUITES, &[groups(), versions()]), 109, no_sigalgs),
        (
            "no key share",
            hello(0x303, &SUITES, &[groups(), versions(), signatures(&ECDSA)]),
            109,
            "no suitable key share",
        ),
        ("a zero", hello(0x303, &SUITES, &[named(b"a\0b"), groups()]), 112, "callback failed"),
        ("long", hello(0x303, &SUITES, &[named(&[97; 256]), groups()]), 112, "callback failed"),
        ("another message", message(20, b""), 10, "unexpected message"),
        ("an unknown message", message(99, b""), 10, "unexpected message"),
        ("too long", vec![22, 3, 1, 0, 4, 1, 255, 255, 255], 47, "excessive message size"),
        ("a long record", [&[22, 3, 1, 255, 255][..], &[0; 9]].concat(), 22, "packet length"),
        ("another version", vec![22, 9, 1, 0, 5, 1, 2, 3, 4, 5], 0, "wrong version number"),
    ] {
        assert_eq!(alert(&answer(&server, &bytes)), expected, "{what}");
        server.wait_log(told);
    }
    let only_rsa = [groups(), versions(), signatures(&RSA), extension(51, &list(b""))];
    assert_eq!(alert(&answer(&server, &hello(0x303, &SUITES, &only_rsa))), 40);
    server.wait_log("no suitable signature algorithm");
}

#[test]
fn a_hello_in_one_byte_records_is_read() {
    let server = server("");
    let hello = hello(0x303, &SUITES, &[extension(10, &GROUPS), extension(13, &ECDSA)]);
    let pieces: Vec<u8> = hello[5..].iter().flat_map(|&byte| [22, 3, 1, 0, 1, byte]).collect();
    let mut stream = TcpStream::connect(server.address("port")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&pieces).unwrap();
    let mut head = [0; 6];
    stream.read_exact(&mut head).unwrap();
    assert_eq!((head[0], head[5]), (22, 2), "a server hello");
}
