//! OTLP over gRPC, with collectors of frames that are right and wrong, and one of Google's library.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use super::collector::{Span, read_message};
use crate::harness::{
    Backend, Certificate, Event, Frame, H2Upstream, Peer, Reply, Server, Setup, Signal, code,
    skipped, until,
};

const PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// What asks for no wait: a `google.rpc.Status` with a `RetryInfo` of 0 seconds, in base64.
const AT_ONCE: &str =
    "CAgSBGZ1bGwaLgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxICCgA=";

/// A call that has arrived.
#[derive(Clone, Debug)]
struct Call {
    fields: Vec<(String, String)>,
    spans: Vec<Span>,
    /// The number of DATA frames.
    pieces: usize,
    /// The number of its connection, from 1.
    connection: usize,
}

impl Call {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| &**value)
    }
}

type Calls = Arc<Mutex<Vec<Call>>>;
type Answering = dyn Fn(&mut Peer, u32, usize) -> bool + Send + Sync;

/// A collector whose `answer` gets the stream of a whole call and its number from 0, and says
/// whether the connection goes on.
struct Collector {
    upstream: H2Upstream,
    calls: Calls,
}

impl Collector {
    fn start() -> Self {
        Self::answering(|peer, stream, _| taken(peer, stream))
    }

    fn answering(answer: impl Fn(&mut Peer, u32, usize) -> bool + Send + Sync + 'static) -> Self {
        let calls = Calls::default();
        let script = script(Arc::clone(&calls), Box::new(answer));
        let upstream = H2Upstream::new(move |peer, number| {
            peer.frame(&Frame::settings(&[]));
            script(peer, number)
        });
        Self { upstream, calls }
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// Exactly so many calls.
    #[track_caller]
    fn wait(&self, count: usize) -> Vec<Call> {
        until(&format!("{count} calls"), || self.calls().len() >= count);
        let calls = self.calls();
        assert_eq!(calls.len(), count, "{calls:?}");
        calls
    }
}

/// Serves a connection, and notes each whole call before it is answered.
fn script(
    calls: Calls,
    answer: Box<Answering>,
) -> impl Fn(&mut Peer, usize) -> std::io::Result<()> + Send + Sync {
    move |peer, connection| {
        let (mut head, mut body, mut pieces) = (Vec::new(), Vec::new(), 0);
        loop {
            match peer.event()? {
                Event::Fields { fields, .. } => (head, body, pieces) = (fields, Vec::new(), 0),
                Event::Data { stream, bytes, end } => {
                    body.extend(bytes);
                    pieces += 1;
                    if !end {
                        continue;
                    }
                    let length = (body.len() as u32 - 5).to_be_bytes();
                    assert_eq!(body[..5], [&[0], &length[..]].concat(), "a message's prefix");
                    let fields = std::mem::take(&mut head);
                    let spans = read_message(&body[5..]);
                    let number = {
                        let mut calls = calls.lock().unwrap();
                        calls.push(Call { fields, spans, pieces, connection });
                        calls.len() - 1
                    };
                    if !answer(peer, stream, number) {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
    }
}

/// Answers that everything was taken.
fn taken(peer: &mut Peer, stream: u32) -> bool {
    said(peer, stream, b"")
}

/// Answers with a message.
fn said(peer: &mut Peer, stream: u32, message: &[u8]) -> bool {
    let length = (message.len() as u32).to_be_bytes();
    peer.fields(stream, &[(":status", "200"), ("content-type", "application/grpc")], false);
    peer.frame(&Frame::data(stream, [&[0], &length[..], message].concat(), false));
    peer.fields(stream, &[("grpc-status", "0")], true)
}

/// Answers with a status alone.
fn refused(peer: &mut Peer, stream: u32, fields: &[(&str, &str)]) -> bool {
    let head = [(":status", "200"), ("content-type", "application/grpc")];
    peer.fields(stream, &[&head[..], fields].concat(), true)
}

/// A server whose requests are recorded and sent to `endpoint`.
fn traced(endpoint: &str, block: &str) -> Setup {
    Server::http(&format!(
        "otel_exporter {{ endpoint {endpoint}; interval 10ms; {block} }}
         otel_trace on;
         server {{ listen 127.0.0.1:%port%; location / {{ return 200; }} }}"
    ))
}

#[test]
fn nginxs_endpoint_means_grpc() {
    let collector = Collector::start();
    let address = collector.upstream.address();
    for (at, endpoint) in [&*address, &format!("http://{address}"), &format!("dns:///{address}")]
        .into_iter()
        .enumerate()
    {
        let server = traced(endpoint, "header X-Key \"a b\"; header x-more-bin \"a?\";").start();
        server.get(&format!("/{at}"));
        let call = collector.wait(at + 1).remove(at);
        for (name, value) in [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", PATH),
            (":authority", &*address),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("grpc-timeout", "10S"),
            ("x-key", "a b"),
            ("x-more-bin", "YT8"),
        ] {
            assert_eq!(call.field(name), Some(value), "{name}");
        }
        assert!(call.field("user-agent").unwrap().starts_with("OTel-OTLP-Exporter-Weir/"));
        assert_eq!(call.fields.len(), 10, "{:?}", call.fields);
        assert_eq!(call.spans[0].text("http.target"), format!("/{at}"));
    }
}

#[test]
fn calls_share_a_connection_whose_frames_are_answered() {
    let pinged = Arc::new(Mutex::new(0));
    let count = Arc::clone(&pinged);
    let collector = Collector::answering(move |peer, stream, _| {
        let goes_on = taken(peer, stream);
        // Nothing is under way when it arrives.
        peer.frame(&Frame::new(crate::harness::frame_kind::PING, 0, 0, *b"12345678"));
        peer.wait("an answer", |event| matches!(event, Event::PingAck(_)).then_some(()));
        *count.lock().unwrap() += 1;
        goes_on
    });
    let server = traced(&collector.upstream.address(), "").start();
    for at in 1..=3 {
        server.get("/");
        collector.wait(at);
        until("the answer to a ping", || *pinged.lock().unwrap() == at);
    }
    assert_eq!(collector.upstream.connections(), 1);
}

#[test]
fn prometheus_counts_what_became_of_spans() {
    let collector = Collector::answering(|peer, stream, number| match number {
        0 => refused(peer, stream, &[("grpc-status", "16")]),
        1 => refused(peer, stream, &[("grpc-status", "14"), ("grpc-status-details-bin", AT_ONCE)]),
        2 => said(peer, stream, b"\x0a\x02\x08\x01"),
        _ => taken(peer, stream),
    });
    let server = Server::http(&format!(
        "otel_exporter {{ endpoint {}; interval 10ms; }}
         server {{ listen 127.0.0.1:%port%;
             location / {{ otel_trace on; return 200; }}
             location /metrics {{ prometheus; }}
         }}",
        collector.upstream.address()
    ))
    .start();
    let figures = || {
        let text = server.text("/metrics");
        ["exported_total ", "dropped_total{reason=\"refused\"} "].map(|name| {
            let name = format!("weir_otel_spans_{name}");
            let line = text.lines().find_map(|line| line.strip_prefix(&*name));
            line.unwrap_or_else(|| panic!("{name}: {text}")).to_owned()
        })
    };
    for (exported, refused) in [("0", "1"), ("0", "2"), ("1", "2")] {
        server.get("/");
        until(&format!("{exported}, {refused}"), || figures() == [exported, refused]);
    }
    let text = server.text("/metrics");
    assert!(text.contains("\nweir_otel_export_failures_total 2\n"), "{text}");
    assert!(text.contains("\nweir_otel_spans_dropped_total{reason=\"full\"} 0\n"), "{text}");
}

type First = fn(&mut Peer, u32) -> bool;

/// What a collector answers first, whether the spans come again, and what the log says.
const FIRST: [(First, bool, &str); 13] = [
    (
        |peer, stream| {
            let details = ("grpc-status-details-bin", AT_ONCE);
            refused(peer, stream, &[("grpc-status", "8"), ("grpc-message", "f%75ll"), details])
        },
        true,
        "the status is 8 RESOURCE_EXHAUSTED: full; they will be sent again",
    ),
    (
        |peer, stream| refused(peer, stream, &[("grpc-status", "8")]),
        false,
        "the status is 8 RESOURCE_EXHAUSTED; they are dropped",
    ),
    (
        |peer, stream| refused(peer, stream, &[("grpc-status", "12"), ("grpc-message", "a%0ab")]),
        false,
        "the status is 12 UNIMPLEMENTED: ab; they are dropped",
    ),
    (
        |peer, stream| refused(peer, stream, &[("grpc-status", "14")]),
        true,
        "the status is 14 UNAVAILABLE; they will be sent again",
    ),
    (
        |peer, stream| refused(peer, stream, &[("grpc-status", "x")]),
        false,
        "UNKNOWN; they are dropped",
    ),
    (|peer, stream| refused(peer, stream, &[]), false, "the status is 200, without one of gRPC"),
    (
        |peer, stream| peer.fields(stream, &[(":status", "404")], true),
        false,
        "the status is 404, without one of gRPC; they are dropped",
    ),
    (
        |peer, stream| peer.fields(stream, &[(":status", "503")], true),
        true,
        "the status is 503, without one of gRPC; they will be sent again",
    ),
    (
        |peer, stream| peer.frame(&Frame::reset(stream, code::INTERNAL_ERROR)),
        false,
        "the call was reset with the code 2; they are dropped",
    ),
    (
        |peer, stream| peer.frame(&Frame::reset(stream, code::CANCEL)),
        true,
        "the call was reset with the code 8; they will be sent again",
    ),
    (
        |peer, stream| peer.fields(stream, &[(":status", "2000")], true),
        true,
        "the answer is malformed; they will be sent again",
    ),
    (
        |peer, stream| {
            peer.fields(stream, &[(":status", "200")], false);
            (0..9).all(|_| peer.frame(&Frame::data(stream, vec![0; 9000], false)))
        },
        false,
        "the answer is too long; they are dropped",
    ),
    (
        |peer, stream| said(peer, stream, b"\x0a\x07\x08\x01\x12\x03odd"),
        false,
        "refused 1 spans: odd",
    ),
];

#[test]
fn a_status_decides_whether_spans_are_sent_again() {
    for (first, again, log) in FIRST {
        let collector = Collector::answering(move |peer, stream, number| match number {
            0 => first(peer, stream),
            _ => taken(peer, stream),
        });
        let server = traced(&collector.upstream.address(), "").start();
        server.get("/first");
        server.wait_log(log);
        if !again {
            server.get("/second");
        }
        let call = collector.wait(2).remove(1);
        let target = if again { "/first" } else { "/second" };
        assert_eq!(call.spans[0].text("http.target"), target, "{log}");
    }
}

/// Collectors close their connections after a time; nobody is told of that.
#[test]
fn another_connection_replaces_one_that_ends() {
    let collector = Collector::answering(|peer, stream, number| match number {
        // The call was not processed.
        0 | 2 => {
            peer.frame(&Frame::go_away(0, code::NO_ERROR));
            number == 2
        }
        // This is the last one.
        1 => {
            taken(peer, stream);
            peer.frame(&Frame::go_away(stream, code::NO_ERROR));
            true
        }
        3 => peer.frame(&Frame::reset(stream, code::REFUSED_STREAM)),
        _ => taken(peer, stream),
    });
    let server = traced(&collector.upstream.address(), "").start();
    server.get("/a");
    let calls = collector.wait(2);
    assert_eq!((calls[0].connection, calls[1].connection), (1, 2));
    server.wait_log("did not take 1 spans: the call was reset with the code 7; they will be sent");
    server.get("/b");
    until("both spans", || {
        let calls = collector.calls();
        calls.len() >= 5 && calls[4].spans[0].text("http.target") == "/b"
    });
    assert_eq!(server.error_log().matches("did not take").count(), 1, "one complaint a minute");
}

#[test]
fn small_windows_cut_a_message() {
    let calls = Calls::default();
    let script = script(Arc::clone(&calls), Box::new(|peer, stream, _| taken(peer, stream)));
    let upstream = H2Upstream::new(move |peer, number| {
        peer.frame(&Frame::settings(&[(4, 50)]));
        // The acknowledgement precedes nothing that was sent before.
        script(peer, number)
    });
    let server = traced(&upstream.address(), "").start();
    server.get("/1");
    until("a call", || calls.lock().unwrap().len() == 1);
    server.get("/2");
    until("another call", || calls.lock().unwrap().len() == 2);
    assert!(calls.lock().unwrap()[1].pieces > 3);
}

#[test]
fn a_collector_that_speaks_something_else_is_told_of() {
    let backend = Backend::new(|_| Reply::with("400 Bad Request", "", "what?"));
    let server = traced(&backend.address(), "").start();
    server.get("/");
    server.wait_log("did not take 1 spans: the collector speaks HTTP/1, not gRPC: for OTLP over ");
    let upstream = H2Upstream::new(|peer, _| {
        peer.raw(b"\0\0\0\x06\0\0\0\0\0");
        peer.finish();
        Ok(())
    });
    let server = traced(&upstream.address(), "").start();
    server.get("/");
    server.wait_log("the answer is not gRPC: the first frame is not SETTINGS; they will be sent");
}

#[test]
fn a_collector_that_hangs_delays_no_end() {
    let collector = Collector::answering(|peer, _, _| {
        while peer.event().is_ok() {}
        false
    });
    let mut server = traced(&collector.upstream.address(), "").start();
    server.get("/");
    collector.wait(1);
    server.signal(Signal::QUIT);
    assert!(server.wait_exit());
    let log = server.error_log();
    assert!(log.contains("did not take 1 spans: there is no time left; they are dropped"), "{log}");
}

#[test]
fn tls_is_verified_and_needs_http_2() {
    for (trusted, host, protocols, log) in [
        ("a.crt", "localhost", &["h2"][..], ""),
        ("b.crt", "localhost", &["h2"], "the TLS handshake failed: "),
        ("a.crt", "127.0.0.1", &["h2"], "the TLS handshake failed: "),
        (
            "a.crt",
            "localhost",
            &[],
            "the collector does not offer HTTP/2, which gRPC needs, by ALPN",
        ),
    ] {
        let directory = crate::harness::Directory::new();
        for label in ["a", "b"] {
            Certificate::self_signed(&directory, label, "localhost");
        }
        let calls = Calls::default();
        let script = script(Arc::clone(&calls), Box::new(|peer, stream, _| taken(peer, stream)));
        let (certificate, key) = (directory.read("a.crt"), directory.read("a.key"));
        let upstream = H2Upstream::tls(&certificate, &key, protocols, move |peer, number| {
            peer.frame(&Frame::settings(&[]));
            script(peer, number)
        });
        let address = upstream.address().replace("127.0.0.1", host);
        let trusted = directory.join(trusted);
        let block = format!("trusted_certificate {};", trusted.display());
        let server = traced(&format!("HTTPS://{address}"), &block).start();
        server.get("/");
        if log.is_empty() {
            until("a call", || calls.lock().unwrap().len() == 1);
            assert_eq!(calls.lock().unwrap()[0].field(":scheme"), Some("https"));
        } else {
            server.wait_log(&format!("did not take 1 spans: {log}"));
        }
    }
}

/// A collector of this library, which refuses what gRPC does not allow.
const GRPCIO: &str = "
import grpc, sys, time
from concurrent.futures import ThreadPoolExecutor

class Service(grpc.GenericRpcHandler):
    def service(self, details):
        print(details.method, dict(details.invocation_metadata).get('x-key'), flush=True)
        def export(request, context):
            print(request.hex(), flush=True)
            return b''
        return grpc.unary_unary_rpc_method_handler(export)

server = grpc.server(ThreadPoolExecutor(2))
server.add_generic_rpc_handlers([Service()])
port = server.add_insecure_port(sys.argv[1])
server.start()
print(port, flush=True)
sys.stdin.read()
";

#[test]
fn a_collector_of_grpcio_takes_spans() {
    if !Path::new("/usr/lib/python3/dist-packages/grpc").exists() {
        return skipped("no grpcio for Debian's Python");
    }
    let directory = crate::harness::Directory::new();
    let socket = format!("unix:{}", directory.join("collector").display());
    for place in ["127.0.0.1:0", &socket] {
        let mut python = Command::new("/usr/bin/python3")
            .args(["-c", GRPCIO, place])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(python.stdout.take().unwrap()).lines().map(Result::unwrap);
        let port = lines.next().unwrap();
        let endpoint = if place == socket { socket.clone() } else { format!("127.0.0.1:{port}") };
        if place == socket {
            std::fs::set_permissions(
                directory.join("collector"),
                std::os::unix::fs::PermissionsExt::from_mode(0o777),
            )
            .unwrap();
        }
        let server = traced(&endpoint, "header X-Key abc;").start();
        for target in ["/a", "/b"] {
            server.get(target);
            assert_eq!(lines.next().unwrap(), format!("{PATH} abc"));
            let text = lines.next().unwrap();
            let bytes: Vec<u8> = (0..text.len() / 2)
                .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
                .collect();
            assert_eq!(read_message(&bytes)[0].text("http.target"), target);
        }
        drop(python.stdin.take());
        drop(server);
        let _ = python.kill();
        let _ = python.wait();
    }
}
