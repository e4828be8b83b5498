//! A client and a server that speak with each other.

use super::*;
use crate::h2::{ErrorCode, StreamId};

struct Pair {
    client: Connection,
    server: Connection,
}

/// An event without the lifetime of its input.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Head(StreamId, bool, Vec<(String, String)>),
    Data(StreamId, Vec<u8>, bool),
    Trailers(StreamId),
    Other(Event<'static>),
}

fn events(connection: &mut Connection, mut input: &[u8]) -> Vec<Seen> {
    let mut seen = Vec::new();
    while let Some(event) = connection.receive(&mut input, 0).unwrap() {
        seen.push(match event {
            Event::Head { stream, ended, .. } => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let fields = connection.fields().iter();
                let fields = fields.map(|(name, value, _)| (text(name), text(value))).collect();
                Seen::Head(stream, ended, fields)
            }
            Event::Data { stream, bytes, ended, .. } => {
                connection.release(stream, bytes.len());
                Seen::Data(stream, bytes.to_vec(), ended)
            }
            Event::Trailers { stream, .. } => Seen::Trailers(stream),
            Event::Reset { stream, code, unprocessed, fault } => {
                Seen::Other(Event::Reset { stream, code, unprocessed, fault })
            }
            Event::GoAway { code } => Seen::Other(Event::GoAway { code }),
            Event::Pong => Seen::Other(Event::Pong),
        });
    }
    assert!(input.is_empty());
    seen
}

impl Pair {
    fn new() -> Self {
        let mut pair = Self {
            client: Connection::new(config(Role::Client)),
            server: Connection::new(config(Role::Server)),
        };
        for _ in 0..2 {
            assert_eq!(pair.server_reads(), []);
            assert_eq!(pair.client_reads(), []);
        }
        pair
    }

    fn server_reads(&mut self) -> Vec<Seen> {
        let seen = events(&mut self.server, self.client.output());
        self.client.sent(self.client.output().len());
        seen
    }

    fn client_reads(&mut self) -> Vec<Seen> {
        let seen = events(&mut self.client, self.server.output());
        self.server.sent(self.server.output().len());
        seen
    }

    fn get(&mut self) -> StreamId {
        self.client.open(true, |head| {
            head.field(b":method", b"GET");
            head.field(b":path", b"/");
        })
    }
}

#[test]
fn a_request_and_its_response() {
    let mut pair = Pair::new();
    let stream = pair.get();
    let fields = [(":method", "GET"), (":path", "/")];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    assert_eq!(pair.server_reads(), [Seen::Head(stream, true, fields)]);
    pair.server.send_head(stream, false, |head| head.status(200));
    assert_eq!(
        pair.server.room(stream),
        65_535.min(crate::h2::OUTPUT_LIMIT - pair.server.output().len())
    );
    pair.server.send_data(stream, b"hello", true);
    pair.server.forget(stream);
    let status = vec![(":status".to_owned(), "200".to_owned())];
    assert_eq!(
        pair.client_reads(),
        [Seen::Head(stream, false, status), Seen::Data(stream, b"hello".to_vec(), true)]
    );
    pair.client.forget(stream);
    assert_eq!((pair.client.streams(), pair.server.streams()), (0, 0));
    assert_eq!((pair.server_reads(), pair.client_reads()), (vec![], vec![]));
}

#[test]
fn a_body_waits_for_the_window() {
    let mut pair = Pair::new();
    let stream = pair.client.open(false, |head| head.field(b":method", b"POST"));
    let body = vec![7; 200_000];
    let mut left = &body[..];
    let mut received = Vec::new();
    let mut rounds = 0;
    while received.len() < body.len() {
        rounds += 1;
        assert!(rounds < 100);
        let room = pair.client.room(stream).min(left.len());
        if room > 0 {
            pair.client.send_data(stream, &left[..room], room == left.len());
            left = &left[room..];
        }
        for event in pair.server_reads() {
            if let Seen::Data(_, bytes, ended) = event {
                received.extend(bytes);
                assert_eq!(ended, received.len() == body.len());
            }
        }
        pair.client_reads();
        if !left.is_empty() {
            assert_eq!(pair.client.poll_writable(), if room > 0 { None } else { Some(stream) });
        }
    }
    assert_eq!(received, body);
}

#[test]
fn a_graceful_end_takes_what_is_under_way() {
    let mut pair = Pair::new();
    let first = pair.get();
    pair.server.shut_down();
    pair.server_reads();
    assert_eq!(pair.client_reads(), [Seen::Other(Event::GoAway { code: ErrorCode::NO_ERROR })]);
    assert!(!pair.client.can_open() && !pair.server.is_over());
    assert_eq!(pair.server_reads(), []);
    assert_eq!(pair.client_reads(), [Seen::Other(Event::GoAway { code: ErrorCode::NO_ERROR })]);
    pair.server.send_head(first, true, |head| head.status(200));
    pair.server.forget(first);
    assert!(pair.server.is_over());
    pair.client_reads();
    pair.client.forget(first);
    assert!(pair.client.is_over());
}
