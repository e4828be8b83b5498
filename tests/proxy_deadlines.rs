//! Timeouts that dripping bytes must not extend. The dripping side continues until the connection
//! is closed, so the end of a test is its proof.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use crate::harness::{Backend, Certificate, Client, Reply, Server, is_nginx};

/// The pause between two bytes; many fit into the timeouts here.
const PAUSE: Duration = Duration::from_millis(20);

/// Writes byte by byte until the other side closes.
fn drip(stream: &mut TcpStream, bytes: impl IntoIterator<Item = u8>) {
    drip_every(PAUSE, stream, bytes);
}

fn drip_every(pause: Duration, stream: &mut TcpStream, bytes: impl IntoIterator<Item = u8>) {
    // The peer never sends: the timeout is a clock without a sleep.
    let (_keep, clock) = std::sync::mpsc::channel::<()>();
    for byte in bytes {
        if stream.write_all(&[byte]).is_err() {
            return;
        }
        assert_eq!(clock.recv_timeout(pause), Err(RecvTimeoutError::Timeout));
    }
}

/// A server that sends `first` and drips `line`, whose last byte is repeated forever.
fn dripping(first: &'static str, line: &'static str) -> Backend {
    Backend::new(move |_| {
        Reply::Custom(Box::new(move |stream| {
            let _ = stream.write_all(first.as_bytes());
            let last = *line.as_bytes().last().unwrap();
            drip(stream, line.bytes().chain(std::iter::repeat(last)));
        }))
    })
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";

#[test]
fn a_late_response_head_is_a_failure_of_the_server() {
    let good = Backend::text("good");
    let hints = Backend::new(|_| {
        Reply::Custom(Box::new(|stream| {
            drip(stream, b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n".iter().copied().cycle());
        }))
    });
    let status = dripping("", "HTTP/1.1 200 OK");
    let field = dripping("HTTP/1.1 200 OK\r\n", "X: y");
    let ask = |bad: &Backend| {
        let server = Server::http(
            "proxy_read_timeout 2s;
             upstream servers { server %bad%; server %good% backup; }
             server { listen 127.0.0.1:%port%; location / { proxy_pass http://servers; } }",
        )
        .set("bad", bad.address())
        .set("good", good.address())
        .start();
        assert_eq!(server.text("/"), "good");
        assert!(server.error_log().contains("upstream timed out (110: Connection timed out)"));
    };
    all_at_once(&[status, field, hints], ask);
}

/// Runs `check` for all items, each in its own thread: most of the time is waiting.
fn all_at_once<T: Sync>(cases: &[T], check: impl Fn(&T) + Sync) {
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| check(case));
        }
    });
}

#[test]
fn lines_between_chunks_have_a_deadline() {
    if is_nginx() {
        // Each byte would restart the timeout.
        return;
    }
    let lines = ["5;a=b", "0000", "0\r\nX: y"];
    let cases: Vec<_> = lines.into_iter().flat_map(|line| [(line, "on"), (line, "off")]).collect();
    all_at_once(&cases, |(line, buffering)| {
        let bad = dripping(CHUNKED, line);
        let server = Server::server(&format!(
            "proxy_read_timeout 2s; proxy_buffering {buffering};
             location / {{ proxy_pass http://%bad%; }}"
        ))
        .set("bad", bad.address())
        .start();
        let mut client = server.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.head().status, 200);
        assert_eq!(client.rest(), b"3\r\nabc\r\n", "{line:?}");
    });
}

#[test]
fn data_may_drip_forever() {
    // The whole response takes longer than the timeout, but no pause does.
    let slow = Backend::new(|_| {
        Reply::Custom(Box::new(|stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
            drip_every(Duration::from_secs(1), stream, *b"drops");
        }))
    });
    let server = Server::server("proxy_read_timeout 3s; location / { proxy_pass http://%slow%; }")
        .set("slow", slow.address())
        .start();
    assert_eq!(server.text("/"), "drops");
}

#[test]
fn a_blocked_upload_has_one_timeout_for_the_response() {
    // Reads nothing of the body and drips a rejection.
    let bad = Backend::new(|_| {
        Reply::Custom(Box::new(|stream| {
            drip(stream, b"HTTP/1.1 413 No".iter().copied().chain(std::iter::repeat(b'o')));
        }))
    });
    let server = Server::server(
        "proxy_read_timeout 300ms; proxy_send_timeout 300ms; client_max_body_size 0;
         location / { proxy_request_buffering off; proxy_pass http://%bad%; }",
    )
    .set("bad", bad.address())
    .start();
    let mut client = server.client();
    // The test's backend responds when the body is complete.
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(client.response().status, 504);
}

#[test]
fn waits_for_the_client_do_not_count_against_the_upstream() {
    let backend = Backend::echo();
    let server = Server::server(
        "proxy_send_timeout 100ms;
         location = /here { return 200 here; }
         location / { proxy_request_buffering off; proxy_pass http://%backend%; }",
    )
    .set("backend", backend.address())
    .start();
    let mut client = server.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
    let (_keep, clock) = std::sync::mpsc::channel::<()>();
    assert_eq!(clock.recv_timeout(Duration::from_millis(300)), Err(RecvTimeoutError::Timeout));
    client.send("def");
    assert_eq!(client.response().status, 200);
    assert_eq!(backend.last().body, b"abcdef");
}

#[test]
fn a_clients_head_has_a_deadline() {
    let server = Server::http(
        "client_header_timeout 300ms; client_body_timeout 300ms;
         server { listen 127.0.0.1:%port%; location / { proxy_pass http://%backend%; } }
         server { listen 127.0.0.1:%portpp% proxy_protocol; return 200 ok; }",
    )
    .set("backend", Backend::text("ok").address())
    .start();
    let upload = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (port, first, last) in [
        ("port", "GET /".to_owned(), b'a'),
        ("port", "GET / HTTP/1.1\r\nHost: a\r\nX: ".to_owned(), b'a'),
        ("portpp", "PROXY TCP4 ".to_owned(), b'1'),
        ("port", format!("{upload}3;a="), b'b'),
        ("port", format!("{upload}0\r\nX: "), b'y'),
    ] {
        if is_nginx() && (port == "portpp" || first.starts_with("POST")) {
            continue;
        }
        let mut client = Client::connect(server.address(port));
        client.send(&first);
        let (_keep, clock) = std::sync::mpsc::channel::<()>();
        while client.send_if_wanted([last]) {
            assert_eq!(clock.recv_timeout(PAUSE), Err(RecvTimeoutError::Timeout));
        }
    }
}

/// The beginning of a handshake record of 16384 bytes.
const RECORD: [u8; 5] = [0x16, 3, 3, 0x40, 0];

#[test]
fn handshakes_have_a_deadline() {
    // An upstream that drips its part of the handshake.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let bad = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                drip(&mut stream, RECORD.into_iter().chain(std::iter::repeat(2)));
            });
        }
    });
    let setup = Server::http(
        "client_header_timeout 300ms; proxy_connect_timeout 300ms;
         server { listen 127.0.0.1:%port%; location / { proxy_pass https://%bad%; } }
         server { listen 127.0.0.1:%porttls% ssl; ssl_certificate a.crt;
             ssl_certificate_key a.key; }",
    )
    .set("bad", bad);
    Certificate::self_signed(setup.directory(), "a", "a.test");
    let server = setup.start();
    assert!([502, 504].contains(&server.get("/").status));
    // A client that does.
    let mut stream = TcpStream::connect(server.address("porttls")).unwrap();
    drip(&mut stream, RECORD.into_iter().chain(std::iter::repeat(1)));
}
