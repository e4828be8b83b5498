//! A page in Chromium, by HTTP/2 and TLS. `tests/peers/page` has the page.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::with_certificate;
use crate::harness::{Backend, Browser, Reply, Seen, Server, is_nginx, until};

/// The deadline of the page. A browser takes seconds to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

const CONF: &str = "
    http2 on; log_format f '$http2 $server_protocol $request_method $uri $status';
    map $http_upgrade $connection_upgrade { default upgrade; '' close; }
    server {
        listen 127.0.0.1:%port% ssl; ssl_certificate own.crt; ssl_certificate_key own.key;
        client_max_body_size 10m; access_log %dir%/own.log f;
        root %dir%/html; types { text/html html; text/css css; text/javascript js; }
        location = /own.css { add_header Cache-Control no-store; }
        location = /moved { return 302 /here; }
        location = /here { return 200 here; }
        location = /file { } location = / { } location = /index.html { }
        location = /count.js { } location = /page.js { }
        location = /none { }
        location / { proxy_pass http://%backend%; proxy_http_version 1.1; proxy_buffering off;
            proxy_request_buffering off; proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade; }
    }";

/// What the page reports.
const REPORT: [(&str, &str); 12] = [
    ("parts", "60 scripts, rgb(1, 2, 3)"),
    ("parallel", "100 files, 5000000 bytes"),
    ("upload", "3000000 bytes, as made"),
    ("form", "two parts"),
    ("streamed_upload", "500000 bytes, as made"),
    ("streamed_response", "one two three "),
    ("events", "a b c"),
    ("websocket", "talk first 200000 bytes last, 1000 done true"),
    ("refused_websocket", "closed 1006"),
    ("statuses", "true here 404 304"),
    ("aborted", "AbortError"),
    ("protocols", ""),
];

/// What the parts of the backend tell each other.
struct Shared {
    /// The page has read a piece.
    next: Mutex<Receiver<()>>,
    read: Sender<()>,
    result: Sender<Vec<u8>>,
    aborted: Sender<()>,
}

fn answer(seen: &Seen, shared: &'static Shared) -> Reply {
    match seen.target() {
        "/upload" | "/streamed-upload" => {
            let is_same = seen.body.iter().enumerate().all(|(at, &byte)| {
                let size = if seen.target() == "/upload" { usize::MAX } else { 50_000 };
                byte == (at % size % 251) as u8
            });
            let same = if is_same { "as made" } else { "damaged" };
            Reply::ok(format!("{} bytes, {same}", seen.body.len()))
        }
        "/form" => {
            let body = String::from_utf8_lossy(&seen.body);
            let count = body.matches("Content-Disposition: form-data; name=").count();
            Reply::ok(if count == 2 && seen.body.len() > 100_000 { "two parts" } else { "?" })
        }
        "/next" => {
            shared.read.send(()).unwrap();
            Reply::ok("")
        }
        "/stream" => Reply::Custom(Box::new(|stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n");
            for piece in ["one ", "two ", "three "] {
                let _ = stream.write_all(piece.as_bytes());
                let _ = lock(&shared.next).recv_timeout(PATIENCE);
            }
        })),
        "/events" => Reply::Custom(Box::new(|stream| {
            let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
            let _ = stream.write_all(head);
            for data in ["a", "b", "c"] {
                let _ = stream.write_all(format!("data: {data}\n\n").as_bytes());
            }
            // Until the page closes it.
            let _ = stream.read(&mut [0]);
        })),
        "/endless" => Reply::Custom(Box::new(|stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(&[b'x'; 65536]).is_ok() {}
            let _ = shared.aborted.send(());
        })),
        "/socket" => {
            assert_eq!(seen.header("Sec-WebSocket-Version"), Some("13"), "{seen:?}");
            assert!(seen.header("Sec-WebSocket-Key").is_some(), "{seen:?}");
            Reply::Custom(Box::new(|stream| {
                let _ = stream.write_all(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                      Connection: Upgrade\r\nSec-WebSocket-Protocol: talk\r\n\r\n",
                );
                let _ = return_messages(stream);
            }))
        }
        "/refused" => Reply::with("403 Forbidden", "", "no"),
        "/result" => {
            shared.result.send(seen.body.clone()).unwrap();
            Reply::ok("")
        }
        _ => Reply::with("404 Not Found", "", ""),
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the frames of a WebSocket (RFC 6455, section 5.2), without masks, up to the closing one.
fn return_messages(stream: &mut TcpStream) -> std::io::Result<()> {
    loop {
        let [first, second] = take(stream)?;
        let length = match second & 0x7f {
            126 => u16::from_be_bytes(take(stream)?).into(),
            127 => u64::from_be_bytes(take(stream)?),
            short => short.into(),
        };
        assert!(second & 0x80 != 0, "clients mask their frames");
        let mask: [u8; 4] = take(stream)?;
        let mut data = vec![0; length as usize];
        stream.read_exact(&mut data)?;
        data.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= mask[at % 4]);
        let mut frame = vec![first];
        match length {
            0..126 => frame.push(length as u8),
            126..65_536 => {
                frame.push(126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(127);
                frame.extend(length.to_be_bytes());
            }
        }
        frame.extend(data);
        stream.write_all(&frame)?;
        if first & 0xf == 8 {
            return Ok(());
        }
    }
}

fn take<const N: usize>(stream: &mut TcpStream) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[test]
fn a_page_in_a_browser() {
    if is_nginx() {
        // It has no WebSocket over HTTP/2.
        return;
    }
    let (read, next) = channel();
    let (result, report) = channel();
    let (aborted, end) = channel();
    let shared = Shared { next: Mutex::new(next), read, result, aborted };
    // The backend's threads may outlive this one.
    let shared: &'static Shared = Box::leak(Box::new(shared));
    let backend = Backend::new(move |seen| answer(seen, shared));
    let weir = with_certificate(Server::http(CONF))
        .0
        .set("backend", backend.address())
        .file("html/index.html", include_str!("page/index.html"))
        .file("html/page.js", include_str!("page/page.js"))
        .file("html/count.js", "scripts++;")
        .file("html/own.css", "body { color: rgb(1, 2, 3); }")
        .file("html/file", vec![b'f'; 50_000])
        .start();
    let url = format!("https://{}/", weir.address("port"));
    let Some(browser) = Browser::open() else { return };
    browser.visit(&url);
    let report = report.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let log = weir.directory().read("own.log");
        panic!("the page does not report, after\n{log}")
    });
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    for (name, expected) in REPORT {
        assert_eq!(report[name], expected, "{name} of {report:#}");
    }
    end.recv_timeout(PATIENCE).expect("the end of the response that the page aborts");
    drop(browser);
    // The last to end.
    until("the log", || {
        let log = weir.directory().read("own.log");
        log.contains(" /result 200\n") && log.contains(" /endless ") && log.contains(" /events ")
    });
    let log = weir.directory().read("own.log");
    let lines: Vec<&str> = log.lines().collect();
    // Also of the sockets, whose method is the one that upstreams see.
    assert!(lines.iter().all(|line| line.starts_with("h2 HTTP/2.0 ")), "{log}");
    let count = |line: &str| lines.iter().filter(|other| **other == line).count();
    assert_eq!(count("h2 HTTP/2.0 GET /count.js 200"), 60, "{log}");
    assert!(count("h2 HTTP/2.0 GET /file 200") >= 100, "{log}");
    assert_eq!(count("h2 HTTP/2.0 GET /file 304"), 1, "{log}");
    assert_eq!(count("h2 HTTP/2.0 GET /socket 200"), 1, "{log}");
    assert_eq!(count("h2 HTTP/2.0 GET /refused 403"), 1, "{log}");
}
