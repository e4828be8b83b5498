//! `grpc_web`: calls as browsers send them, over HTTP/1.1 and HTTP/2, to a gRPC server.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::harness::{Event, Frame, H2Client, H2Upstream, Peer, Server, Setup, code, request};

mod body;
mod browser;
mod calls;
mod errors;
mod howto;

use body::{base64, frame, frames, message, unbase64};

/// A server whose `location /` passes to `upstream`, with this text.
fn server(upstream: &H2Upstream, conf: &str) -> Setup {
    Server::http(&format!(
        "http2 on; server {{ listen 127.0.0.1:%port%; server_name localhost;
           location / {{ grpc_pass grpc://%upstream%; grpc_web on; {conf} }} }}"
    ))
    .set("upstream", upstream.address())
}

/// An answer, of either version.
#[derive(Debug)]
struct Answer {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        let mut same = self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        same.next().map(|(_, value)| value.as_str())
    }

    /// The type, the status of HTTP, and that of gRPC in the head with its message.
    fn end(&self) -> (u16, Option<&str>, Option<&str>, Option<&str>) {
        let field = |name| self.field(name);
        (self.status, field("content-type"), field("grpc-status"), field("grpc-message"))
    }

    /// The frames, of a body that is base64 or not as its type says.
    fn frames(&self) -> Vec<(u8, String)> {
        let text = self.field("content-type").unwrap().starts_with("application/grpc-web-text");
        let bytes = if text { unbase64(&self.body) } else { self.body.clone() };
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        frames(&bytes).into_iter().map(|(flags, content)| (flags, text(content))).collect()
    }
}

/// The body of a POST, with these lines of fields, to a path.
struct Call<'a> {
    path: &'a str,
    lines: &'a str,
    body: &'a [u8],
}

impl Call<'_> {
    /// Over HTTP/1.1.
    #[track_caller]
    fn by_h1(&self, server: &Server) -> Answer {
        let Self { path, lines, body } = self;
        let lines = lines.replace('\n', "\r\n");
        let length = body.len();
        let mut client = server.client();
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\nContent-Length: {length}\r\n\r\n"
        ));
        client.send_if_wanted(body);
        let found = client.response();
        Answer { status: found.status, fields: found.headers, body: found.body }
    }

    /// Over HTTP/2.
    #[track_caller]
    fn by_h2(&self, server: &Server) -> Answer {
        let mut client = H2Client::of(server);
        let answer = client.post(self.path, self.lines, self.body);
        assert!(answer.complete && answer.trailers.is_empty(), "{answer:?}");
        Answer { status: answer.status, fields: answer.fields, body: answer.body }
    }

    /// Over both.
    #[track_caller]
    fn by_both(&self, server: &Server) -> [Answer; 2] {
        [self.by_h1(server), self.by_h2(server)]
    }
}

const BINARY: &str = "content-type: application/grpc-web+proto";
const TEXT: &str = "content-type: application/grpc-web-text+proto";

/// Calls with a message as binary and as text, with the type of the answer.
fn both_kinds<'a>(path: &'a str, body: &'a [u8], text: &'a [u8]) -> [(Call<'a>, &'static str); 2] {
    [
        (Call { path, lines: BINARY, body }, "application/grpc-web+proto"),
        (Call { path, lines: TEXT, body: text }, "application/grpc-web-text+proto"),
    ]
}

/// What a [`service`] waits for between two steps.
type Gate = Sender<()>;

/// A service, with the gate of its streams:
///
/// * `/a/Echo` answers each message at once, and ends with trailers;
/// * `/a/Seen` answers with the fields of the request, and its body;
/// * `/a/Stream` answers a request with messages, one for each opening of the gate;
/// * the others answer in the ways of their names.
fn service() -> (H2Upstream, Gate) {
    let (gate, opened) = channel();
    let opened = Mutex::new(opened);
    let upstream = H2Upstream::new(move |peer, _| {
        peer.frame(&Frame::settings(&[]));
        let mut open = std::collections::BTreeMap::new();
        loop {
            match peer.event()? {
                Event::Fields { stream, fields, end } => {
                    let get = |name: &str| {
                        let found = fields.iter().find(|(other, _)| other == name);
                        found.map_or(String::new(), |(_, value)| value.clone())
                    };
                    let path = get(":path");
                    if path == "/a/Echo" {
                        peer.fields(stream, &HEAD, false);
                    }
                    let lines: Vec<String> = fields
                        .iter()
                        .filter(|(name, _)| !name.starts_with(':'))
                        .map(|(name, value)| format!("{name}: {value}"))
                        .collect();
                    open.insert(stream, (path, lines.join("\n"), Vec::new()));
                    if end {
                        answer(peer, stream, open.remove(&stream).unwrap(), &opened);
                    }
                }
                Event::Data { stream, bytes, end } => {
                    let Some(call) = open.get_mut(&stream) else { continue };
                    if call.0 == "/a/Echo" {
                        peer.frame(&Frame::data(stream, bytes, false));
                    } else {
                        call.2.extend(bytes);
                    }
                    if end {
                        answer(peer, stream, open.remove(&stream).unwrap(), &opened);
                    }
                }
                Event::Reset { stream, .. } => drop(open.remove(&stream)),
                _ => {}
            }
        }
    });
    (upstream, gate)
}

const HEAD: [(&str, &str); 3] =
    [(":status", "200"), ("content-type", "application/grpc+proto"), ("x-head", "yes")];

/// Answers a whole call.
fn answer(
    peer: &mut Peer,
    stream: u32,
    (path, lines, body): (String, String, Vec<u8>),
    gate: &Mutex<Receiver<()>>,
) {
    let end = [("grpc-status", "0"), ("grpc-message", "all%20well"), ("x-end-bin", "AQI=")];
    let page = |status| [(":status", status), ("content-type", "text/html"), ("etag", "\"x\"")];
    let wait = || gate.lock().unwrap().recv_timeout(crate::harness::PATIENCE);
    match path.as_str() {
        "/a/Echo" => {
            peer.fields(stream, &end, true);
        }
        "/a/Fails" => {
            let head = [(":status", "200"), ("content-type", "application/grpc")];
            let status = [("grpc-status", "5"), ("grpc-message", "not%20found"), ("x-own", "1")];
            peer.fields(stream, &[&head[..], &status].concat(), true);
        }
        "/a/Page" => {
            peer.fields(stream, &page("200"), false);
            peer.frame(&Frame::data(stream, "<html>", true));
        }
        "/a/Busy" => {
            peer.fields(stream, &page("503"), false);
            peer.frame(&Frame::data(stream, "<html>", true));
        }
        path => {
            peer.fields(stream, &HEAD, false);
            let mut data = |bytes: Vec<u8>, end| peer.frame(&Frame::data(stream, bytes, end));
            match path {
                "/a/Seen" => {
                    let seen = message(&[lines.as_bytes(), b"\n\n", &body].concat());
                    for piece in seen.chunks(10_000) {
                        data(piece.to_vec(), false);
                    }
                }
                "/a/Stream" => {
                    for text in ["one", "seven", ""] {
                        data(message(text.as_bytes()), false);
                        if wait().is_err() {
                            return;
                        }
                    }
                }
                "/a/Silent" => {
                    data(message(b"one"), true);
                    return;
                }
                "/a/Breaks" => {
                    data(message(b"one"), false);
                    let _ = wait();
                    peer.frame(&Frame::reset(stream, code::INTERNAL_ERROR));
                    return;
                }
                "/a/Stops" => {
                    data(message(b"one"), false);
                    return;
                }
                "/a/Cut" => {
                    data(message(b"three")[..7].to_vec(), false);
                }
                "/a/Forges" => {
                    data(frame(0x80, b"grpc-status: 0\r\n"), false);
                }
                _ => {
                    data(frame(1, b"compressed"), false);
                }
            }
            peer.fields(stream, &end, true);
        }
    }
}
