//! Timeouts: a silent peer is waited for as long as the configuration says, and no longer. In a
//! network without faults, the time is known to some milliseconds.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use weir_engine::clock;
use weir_engine::log_files::LogFile;
use weir_engine::sim::{self, Census, Faults, Listening, Peer};
use weir_engine::{spawn, timer};

use crate::message::{Reader, Stop, content};
use crate::proxy::{ADDRESS, Proxy, address};

const UPSTREAM: ([u8; 4], u16) = ([10, 1, 0, 1], 80);

const CONF: &str = "
    http {
        access_log off;
        server {
            listen 10.0.0.1:80;
            client_header_timeout 3s;
            client_body_timeout 4s;
            send_timeout 5s;
            keepalive_timeout 6s;
            proxy_connect_timeout 7s;
            proxy_send_timeout 8s;
            proxy_read_timeout 9s;
            client_max_body_size 0;
            client_body_temp_path temp;
            proxy_temp_path temp;
            location / { proxy_pass http://10.1.0.1:80; }
            location /unbuffered {
                proxy_pass http://10.1.0.1:80;
                proxy_buffering off;
                proxy_request_buffering off;
            }
            location /late {
                proxy_pass http://10.1.0.1:80;
                proxy_buffering off;
                proxy_ignore_client_abort on;
            }
        }
    }";

/// Runs `main` on a thread of its own, with the proxy in front of the test's upstreams.
fn simulate(faults: Faults, main: impl AsyncFnOnce() + Send + 'static) {
    crate::proxy::silence_the_process_log();
    let thread = std::thread::spawn(|| {
        sim::run(1, faults, async {
            let null = std::fs::OpenOptions::new().write(true).open("/dev/null");
            let log = LogFile::from_fd("/errors", null.expect("/dev/null").into());
            let proxy = Proxy::start(CONF, 512, Arc::new(log));
            main().await;
            drop(proxy);
        });
    });
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

async fn client(request: &str) -> (Rc<Peer>, Reader) {
    let from = address(([192, 0, 2, 1], 4000));
    let peer = Rc::new(Peer::connect(from, address(ADDRESS)).await.unwrap());
    peer.write_all(request.as_bytes()).await.unwrap();
    let reader = Reader::new(&peer);
    (peer, reader)
}

/// An upstream that sends `says` after a head, and then nothing.
fn upstream(says: &'static [u8]) {
    let listening = Listening::at(address(UPSTREAM));
    spawn(async move {
        loop {
            let peer = Rc::new(listening.accept().await);
            spawn(async move {
                let mut reader = Reader::new(&peer);
                if reader.head().await.is_ok() {
                    peer.write_all(says).await.unwrap();
                    while reader.fill().await.is_ok() {}
                }
            });
        }
    });
}

/// Reads to the end of the connection. Returns the time taken, and the text.
async fn end(reader: &mut Reader) -> (Duration, String) {
    let start = clock::precise();
    while reader.fill().await.is_ok() {}
    (start.elapsed(), String::from_utf8_lossy(&reader.buffered).into_owned())
}

#[track_caller]
fn takes(took: Duration, seconds: u64) {
    let wanted = Duration::from_secs(seconds);
    let slack = Duration::from_millis(150);
    assert!(took + slack >= wanted && took <= wanted + slack, "{took:?} in place of {wanted:?}");
}

#[test]
fn a_client_that_sends_nothing_or_half_a_head_has_client_header_timeout() {
    simulate(Faults::none(), async || {
        for half in ["", "GET / HT"] {
            let (_peer, mut reader) = client(half).await;
            let (took, said) = end(&mut reader).await;
            takes(took, 3);
            assert_eq!(said, "");
        }
    });
}

#[test]
fn a_client_that_sends_half_a_body_has_client_body_timeout() {
    simulate(Faults::none(), async || {
        upstream(b"");
        for path in ["/", "/unbuffered"] {
            let request =
                format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
            let (_peer, mut reader) = client(&request).await;
            let (took, said) = end(&mut reader).await;
            takes(took, 4);
            assert_eq!(said, "", "{path}");
        }
    });
}

#[test]
fn a_client_that_reads_nothing_has_send_timeout() {
    let faults = Faults { buffers: 3000..=3000, ..Faults::none() };
    simulate(faults, async || {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
        let whole: &'static [u8] = [&head[..], &content(1, 100_000)].concat().leak();
        upstream(whole);
        let (_peer, mut reader) = client("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let start = clock::precise();
        while Census::take().connections > 0 {
            timer::sleep(Duration::from_millis(100)).await;
        }
        takes(start.elapsed(), 5);
        let (_, said) = end(&mut reader).await;
        assert!(said.len() < 20_000, "{}", said.len());
    });
}

#[test]
fn a_client_that_asks_no_more_has_keepalive_timeout() {
    simulate(Faults::none(), async || {
        upstream(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let (_peer, mut reader) = client("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        reader.head().await.unwrap();
        let (took, said) = end(&mut reader).await;
        takes(took, 6);
        assert_eq!(said, "ok");
    });
}

#[test]
fn an_upstream_that_does_not_answer_has_its_timeouts() {
    simulate(Faults::none(), async || {
        upstream(b"");
        let (_peer, mut reader) = client("GET / HTTP/1.0\r\n\r\n").await;
        let (took, said) = end(&mut reader).await;
        takes(took, 9);
        assert!(said.starts_with("HTTP/1.1 504 "), "{said}");
    });
    // Half of the connections are refused at once, half of the others are never answered.
    simulate(Faults { refusals: Some(2), ..Faults::none() }, async || {
        upstream(b"");
        let mut seen = Vec::new();
        for number in 0..40 {
            let from: SocketAddr = address(([192, 0, 2, 2], 4000 + number));
            let connecting =
                timer::timeout(Duration::from_secs(1), Peer::connect(from, address(ADDRESS)));
            let Ok(Ok(peer)) = connecting.await else { continue };
            let peer = Rc::new(peer);
            peer.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
            let mut reader = Reader::new(&peer);
            let (took, said) = end(&mut reader).await;
            seen.push((took.as_secs(), said[9..12].to_owned()));
        }
        for expected in [(0, "502"), (7, "504"), (9, "504")] {
            let expected = (expected.0, expected.1.to_owned());
            assert!(seen.contains(&expected), "{expected:?} is not in {seen:?}");
        }
    });
}

#[test]
fn an_upstream_that_stops_in_its_response_has_proxy_read_timeout() {
    simulate(Faults::none(), async || {
        upstream(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ");
        for path in ["/", "/unbuffered"] {
            let (_peer, mut reader) =
                client(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            let start = clock::precise();
            let head = reader.head().await.unwrap();
            let mut body = Vec::new();
            let stop = reader.body(head.framing().unwrap(), &mut body).await;
            takes(start.elapsed(), 9);
            assert_eq!((stop, body.as_slice()), (Err(Stop::End), &b"half "[..]), "{path}");
        }
    });
}

#[test]
fn an_upstream_that_reads_no_more_has_proxy_send_timeout() {
    let faults = Faults { buffers: 3000..=3000, ..Faults::none() };
    simulate(faults, async || {
        let listening = Listening::at(address(UPSTREAM));
        spawn(async move {
            let mut deaf = Vec::new();
            loop {
                deaf.push(listening.accept().await);
            }
        });
        let request =
            format!("POST / HTTP/1.0\r\nContent-Length: 50000\r\n\r\n{}", "x".repeat(50_000));
        let start = clock::precise();
        let (_peer, mut reader) = client(&request).await;
        let (_, said) = end(&mut reader).await;
        takes(start.elapsed(), 8);
        assert!(said.starts_with("HTTP/1.1 504 "), "{said}");
    });
}

/// The end of a response that found no room in its socket, on a kept connection, was once forgotten
/// when the connection was parked some milliseconds later.
#[test]
fn a_client_that_reads_late_gets_the_end_of_a_response_on_a_kept_connection() {
    for length in (6000..9000).step_by(500) {
        let faults = Faults { buffers: 4000..=4000, ..Faults::none() };
        simulate(faults, async move || {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            let whole: &'static [u8] = [head.as_bytes(), &content(1, length)].concat().leak();
            upstream(whole);
            for wait in [1, 4] {
                let (peer, mut reader) = client("GET /late HTTP/1.1\r\nHost: a\r\n\r\n").await;
                timer::sleep(Duration::from_millis(500)).await;
                if wait == 4 {
                    // It has no further request.
                    peer.finish();
                }
                timer::sleep(Duration::from_secs(wait)).await;
                let head = reader.head().await.unwrap();
                let mut body = Vec::new();
                let stop = reader.body(head.framing().unwrap(), &mut body).await;
                assert_eq!((stop, body.len()), (Ok(()), length), "after {wait} s");
            }
        });
    }
}
