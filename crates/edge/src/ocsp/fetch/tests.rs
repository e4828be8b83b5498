use std::io::{Read, Write as _};
use std::net::TcpListener;
use std::sync::Mutex;
use std::thread::JoinHandle;

use weir_engine::event_loop::block_on;

use super::*;

/// A responder that gives one answer to each connection, and what it was asked.
fn responder(answers: Vec<Vec<u8>>) -> (OcspResponder, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/base", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let asked = answers.into_iter().map(|answer| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            stream.write_all(&answer).unwrap();
            String::from_utf8(request).unwrap()
        });
        asked.collect()
    });
    (OcspResponder::parse(&url, None).unwrap(), thread)
}

/// The response to one question, and what was logged.
fn ask(responder: &OcspResponder) -> (Option<Vec<u8>>, Vec<String>) {
    let lines = Mutex::new(Vec::new());
    let log = |_: Level, line: &str| lines.lock().unwrap().push(line.to_owned());
    let asking =
        Asking { responder, resolver: None, timeout: None, certificate: Some("a.crt"), log: &log };
    let response = block_on(async { asking.ask(&[0xfb, 0xff, 0xfe, 0]).await.ok() });
    (response, lines.into_inner().unwrap())
}

/// The outcome of one answer.
fn outcome(answer: &str) -> Result<Vec<u8>, String> {
    let (responder, thread) = responder(vec![answer.as_bytes().to_vec()]);
    let (response, mut lines) = ask(&responder);
    thread.join().unwrap();
    assert_eq!(response.is_some(), lines.is_empty());
    response.ok_or_else(|| {
        let line = lines.pop().unwrap();
        let (what, context) = line.split_once(" while requesting certificate status, ").unwrap();
        let host = "responder: 127.0.0.1, peer: 127.0.0.1:";
        assert!(context.starts_with(host) && context.ends_with(", certificate: \"a.crt\""));
        what.to_owned()
    })
}

#[test]
fn the_question_is_in_the_path() {
    let (responder, thread) = responder(vec![b"HTTP/1.0 200 OK\r\n\r\nyes".to_vec()]);
    assert_eq!(ask(&responder), (Some(b"yes".to_vec()), Vec::new()));
    let asked = thread.join().unwrap();
    assert_eq!(asked, ["GET /base/%2B%2F%2F%2BAA%3D%3D HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"]);
}

#[test]
fn the_body_ends_with_its_length_or_the_connection() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Type: application/OCSP-response\r\n";
    assert_eq!(outcome(&format!("{ok}\r\nabc")).unwrap(), b"abc");
    assert_eq!(outcome(&format!("{ok}Content-Length: 2\r\n\r\nabc")).unwrap(), b"ab");
    let closed = "OCSP responder prematurely closed connection";
    assert_eq!(outcome(&format!("{ok}Content-Length: 4\r\n\r\nabc")).unwrap_err(), closed);
    assert_eq!(outcome("HTTP/1.0 200 O").unwrap_err(), closed);
}

#[test]
fn other_answers_are_told() {
    for (answer, expected) in [
        ("HTTP/1.0 404 Not Found\r\n\r\n", "OCSP responder sent status 404"),
        (
            "HTTP/1.0 404 Not Found\r\nContent-Type: text/html\r\n\r\n",
            "OCSP responder sent invalid \"Content-Type\" header: \"text/html\"",
        ),
        ("nonsense\r\n\r\n", "OCSP responder sent invalid response"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "OCSP responder sent invalid response",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
            "OCSP responder sent too long response",
        ),
    ] {
        assert_eq!(outcome(answer).unwrap_err(), expected, "{answer}");
    }
    let long = format!("HTTP/1.0 200 OK\r\n\r\n{}", "x".repeat(MAX_BODY + 1));
    assert_eq!(outcome(&long).unwrap_err(), "OCSP responder sent too long response");
}

#[test]
fn the_next_address_is_tried() {
    let (mut responder, thread) = responder(vec![b"HTTP/1.0 200 OK\r\n\r\nyes".to_vec()]);
    // Another test may be given a port that was free a moment ago.
    let refused = Addr::Inet("127.0.0.1:1".parse().unwrap());
    responder.addresses.insert(0, refused);
    let (response, lines) = ask(&responder);
    thread.join().unwrap();
    assert_eq!(response.as_deref(), Some(&b"yes"[..]));
    assert!(lines.len() == 1 && lines[0].starts_with("connect() failed (111: "), "{lines:?}");
}

#[test]
fn a_name_without_a_resolver_is_not_found() {
    let responder = OcspResponder::parse("http://ca.test/", None).unwrap();
    let (response, lines) = ask(&responder);
    assert_eq!(response, None);
    let expected = "no resolver defined to resolve ca.test while requesting certificate status, \
                    responder: ca.test, certificate: \"a.crt\"";
    assert_eq!(lines, [expected]);
}
