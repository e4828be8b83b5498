//! Whole requests, from head to log, without a socket to the client.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use weir_engine::event_loop::{block_on, spawn_joined, yield_now};
use weir_upstream::Registry;
use weir_wire::field_block::FieldBlock;
use weir_wire::request::Version;

use super::{Answer, Ended, Fields, Peer, pair};
use crate::fixture::{self, LISTENER, connection};
use crate::serve::{Ask, Service};

/// A window larger than any response here.
const ALL: u64 = 1 << 20;

/// A temporary folder, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("weir-memory-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A service with one server, with the content `conf`.
fn service(conf: &str) -> Rc<Service> {
    Service::new(fixture::snapshot(&fixture::server(conf), &Registry::default()))
}

/// Begins a request. Its client takes `window` bytes at first. The future ends with the request.
fn begin(
    service: &Rc<Service>,
    (method, path): (&'static str, &'static str),
    fields: &'static [(&'static str, &'static str)],
    ended: bool,
    window: u64,
) -> (impl Future<Output = ()> + use<>, Peer) {
    let (exchange, peer) = pair(window);
    let service = Rc::clone(service);
    let run = async move {
        let host = if method == "CONNECT" { "a.test:443" } else { "a.test" };
        let head =
            [(":method", method), (":scheme", "http"), (":authority", host), (":path", path)];
        let mut all = FieldBlock::default();
        // A plain CONNECT has a port, and neither scheme nor path (RFC 9113 section 8.5).
        let is_part = |name| method != "CONNECT" || !matches!(name, ":scheme" | ":path");
        for (name, value) in head.iter().filter(|(name, _)| is_part(name)).chain(fields) {
            all.push(name.as_bytes(), value.as_bytes());
        }
        let ask = Ask { version: Version::HTTP_11, fields: &mut all, ended };
        assert!(service.serve(LISTENER, &connection(), ask, exchange).await, "somebody listens");
    };
    (run, peer)
}

/// The response to a request without a body.
async fn ask(service: &Rc<Service>, what: (&'static str, &'static str)) -> Answer {
    let (run, peer) = begin(service, what, &[], true, ALL);
    let run = spawn_joined(run);
    let answer = peer.answer().await;
    run.await.unwrap();
    answer
}

fn head(answer: &Answer) -> &Fields {
    answer.head.as_ref().expect("there is a head")
}

/// Lets every task run as far as it can.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

/// An upstream that answers successive requests with the given texts.
struct Upstream {
    asked: JoinHandle<Vec<String>>,
}

impl Upstream {
    fn new(path: &str, answers: Vec<&'static str>) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let asked = std::thread::spawn(move || {
            answers.into_iter().map(|answer| answer_one(&listener, answer)).collect()
        });
        Self { asked }
    }

    fn asked(self) -> Vec<String> {
        self.asked.join().expect("all were asked for")
    }
}

/// Answers one request on a connection of its own. Returns the request: its head, and its body if
/// that has a length.
fn answer_one(listener: &UnixListener, answer: &str) -> String {
    let (mut conn, _) = listener.accept().unwrap();
    let mut asked = Vec::new();
    while !is_whole(&asked) {
        let mut piece = [0; 1024];
        let count = conn.read(&mut piece).unwrap();
        assert!(count > 0, "the request is whole");
        asked.extend_from_slice(&piece[..count]);
    }
    conn.write_all(answer.as_bytes()).unwrap();
    String::from_utf8(asked).unwrap()
}

fn is_whole(asked: &[u8]) -> bool {
    let text = String::from_utf8_lossy(asked);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    length.is_none_or(|length| body.len() >= length.parse::<usize>().unwrap())
}

#[test]
fn a_return_is_answered() {
    block_on(async {
        let service = service("add_header X-Way $server_protocol; return 200 'hello $host';");
        let answer = ask(&service, ("GET", "/x")).await;
        assert_eq!(head(&answer).status, 200);
        assert_eq!(head(&answer).get("content-length"), Some(&b"12"[..]));
        assert_eq!(head(&answer).get("X-Way"), Some(&b"HTTP/1.1"[..]));
        assert_eq!(head(&answer).get("connection"), None, "no field of a hop");
        assert_eq!(answer.body, b"hello a.test");
        assert_eq!(answer.ended, Ended::Whole(Fields::default()));
        let answer = ask(&service, ("HEAD", "/x")).await;
        assert_eq!(head(&answer).get("content-length"), Some(&b"12"[..]));
        assert_eq!((&answer.body[..], answer.ended), (&b""[..], Ended::Whole(Fields::default())));
    });
}

#[test]
fn a_file_is_sent_within_the_clients_window() {
    let folder = Folder::new();
    let text: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
    std::fs::write(folder.path("file"), &text).unwrap();
    block_on(async {
        let service = service(&format!("root {}; output_buffers 1 10k;", folder.path("")));
        let (run, peer) = begin(&service, ("GET", "/file"), &[], true, 1000);
        let run = spawn_joined(run);
        assert_eq!(peer.head().await.unwrap().get("Content-Length"), Some(&b"200000"[..]));
        settle().await;
        assert_eq!(peer.waiting(), 1000, "as much as is granted, and no more");
        peer.grant(500);
        settle().await;
        assert_eq!(peer.waiting(), 1500);
        let answer = peer.answer().await;
        assert!(answer.body == text);
        run.await.unwrap();
        assert_eq!(head(&ask(&service, ("GET", "/none")).await).status, 404);
    });
}

#[test]
fn a_body_of_any_framing_is_read() {
    let conf = "client_body_early_read on; client_max_body_size 10; return 200 $request_body;";
    block_on(async {
        let service = service(conf);
        let what = ("POST", "/");
        let length: &[(&str, &str)] = &[("content-length", "10")];
        for fields in [length, &[]] {
            let (run, peer) = begin(&service, what, fields, false, ALL);
            let run = spawn_joined(run);
            for piece in [&b"0123"[..], b"45", b"6789"] {
                peer.send(piece);
                settle().await;
            }
            assert_eq!(peer.waiting() > 0, !fields.is_empty(), "a length tells the end");
            peer.end();
            assert_eq!(peer.answer().await.body, b"0123456789");
            run.await.unwrap();
        }
        // Too long, longer than announced, and truncated.
        for (fields, body, ends, status) in [
            (&[][..], &b"0123456789a"[..], true, 413),
            (length, b"0123456789a", true, 400),
            (length, b"012", true, 400),
        ] {
            let (run, peer) = begin(&service, what, fields, false, ALL);
            peer.send(body);
            if ends {
                peer.end();
            }
            let run = spawn_joined(run);
            let answer = peer.answer().await;
            match answer.head {
                Some(head) => assert_eq!(head.status, status, "{body:?}"),
                None => assert_eq!(body, b"012", "who breaks off gets no answer"),
            }
            run.await.unwrap();
        }
    });
}

#[test]
fn a_request_is_proxied_with_its_body() {
    let folder = Folder::new();
    let socket = folder.path("socket");
    let answers = vec![
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 201 Created\r\nX-A: b\r\n\
         Trailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: end\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
    ];
    let upstream = Upstream::new(&socket, answers);
    block_on(async {
        let service = service(&format!(
            "location / {{ early_hints 1; proxy_pass_trailers on; \
             proxy_pass http://unix:{socket}:/to; }}"
        ));
        let (run, peer) = begin(&service, ("POST", "/"), &[("te", "trailers")], false, ALL);
        let run = spawn_joined(run);
        peer.send(b"ping");
        settle().await;
        peer.end();
        let answer = peer.answer().await;
        run.await.unwrap();
        assert_eq!(answer.interim.len(), 1);
        assert_eq!(answer.interim[0].get("Link"), Some(&b"</a>"[..]));
        assert_eq!((head(&answer).status, head(&answer).get("X-A")), (201, Some(&b"b"[..])));
        assert_eq!(answer.body, b"hello");
        let Ended::Whole(trailers) = answer.ended else { panic!("it is whole") };
        assert_eq!(trailers.get("X-T"), Some(&b"end"[..]));
        // An upstream that breaks off leaves the response without an end.
        let answer = ask(&service, ("GET", "/")).await;
        assert_eq!((head(&answer).status, &answer.body[..]), (200, &b"short"[..]));
        assert_eq!(answer.ended, Ended::Early);
    });
    let asked = upstream.asked();
    assert!(asked[0].starts_with("POST /to HTTP/1."), "{}", asked[0]);
    assert!(asked[0].contains("Content-Length: 4\r\n"), "{}", asked[0]);
    assert!(asked[0].ends_with("\r\n\r\nping"), "{}", asked[0]);
}

#[test]
fn a_request_without_a_response_ends_early() {
    block_on(async {
        let service = service("location /drop { return 444; } location / { return 200 x; }");
        let answer = ask(&service, ("GET", "/drop")).await;
        assert_eq!(answer, Answer::default());
        let (run, peer) = begin(&service, ("GET", "/"), &[("Bad", "x")], true, ALL);
        let run = spawn_joined(run);
        assert_eq!(head(&peer.answer().await).status, 400);
        run.await.unwrap();
        assert_eq!(head(&ask(&service, ("CONNECT", "/")).await).status, 405);
    });
}

#[test]
fn a_client_that_leaves_ends_its_request() {
    let folder = Folder::new();
    let socket = folder.path("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    std::fs::write(folder.path("file"), vec![b'x'; 100_000]).unwrap();
    block_on(async {
        let service = service(&format!(
            "location / {{ root {}; post_action @after; }} location @after {{ return 200 x; }} \
             location /up {{ proxy_pass http://unix:{socket}; }}",
            folder.path("")
        ));
        // In the middle of the body, with a `post_action`.
        let (run, peer) = begin(&service, ("GET", "/file"), &[], true, 1000);
        let run = spawn_joined(run);
        assert_eq!(peer.head().await.unwrap().status, 200);
        settle().await;
        peer.leave();
        run.await.unwrap();
        assert_eq!(peer.answer().await.ended, Ended::Early);
        // While an upstream works on the request. It notices that.
        let (run, peer) = begin(&service, ("GET", "/up"), &[], true, ALL);
        let run = spawn_joined(run);
        settle().await;
        let (mut conn, _) = listener.accept().unwrap();
        drop(peer);
        run.await.unwrap();
        let mut asked = String::new();
        conn.read_to_string(&mut asked).unwrap();
        assert!(asked.starts_with("GET /up HTTP/1."), "{asked}");
    });
}

#[test]
fn a_tunnel_carries_bytes_both_ways() {
    let folder = Folder::new();
    let socket = folder.path("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let echo = std::thread::spawn(move || {
        let (mut conn, _) = listener.accept().unwrap();
        let mut got = [0; 4];
        conn.read_exact(&mut got).unwrap();
        conn.write_all(b"pong").unwrap();
        let mut rest = Vec::new();
        conn.read_to_end(&mut rest).unwrap();
        (got, rest)
    });
    block_on(async {
        let service = service(&format!("tunnel_pass unix:{socket};"));
        let (run, peer) = begin(&service, ("CONNECT", "/"), &[], true, ALL);
        let run = spawn_joined(run);
        assert_eq!(peer.head().await.unwrap().status, 200);
        peer.send(b"ping");
        let mut got = Vec::new();
        while got.len() < 4 {
            got.extend(std::future::poll_fn(|cx| peer.poll_take(cx)).await.expect("more"));
        }
        assert_eq!(got, b"pong");
        peer.send(b"bye");
        peer.end();
        run.await.unwrap();
    });
    assert_eq!(echo.join().unwrap(), (*b"ping", b"bye".to_vec()));
}
