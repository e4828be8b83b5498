//! A side: its connection, what its user has sent and received on each stream, and the watch.

use std::collections::BTreeMap;

use super::Random;
use crate::field_block::FieldBlock;
use crate::h2::connection::{Connection, Event};
use crate::h2::fuzz::watch::Watch;
use crate::h2::{Config, ErrorCode, Millis, Role, StreamId};

/// Half of a stream: what one user has sent, or the other received.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Half {
    /// The values of the `mark` fields of heads.
    pub heads: Vec<u32>,
    pub body: usize,
    /// The value of the trailers' `mark`.
    pub trailers: Option<u32>,
    pub ended: bool,
}

/// A stream as its user sees it.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub sent: Half,
    pub received: Half,
    pub unread: usize,
    /// The number of body bytes that the user wants to send in all.
    pub wanted: usize,
    /// It was told that there is no room, and waits.
    pub waits: bool,
    /// Either side has reset it.
    pub reset: Option<(ErrorCode, bool)>,
    pub forgotten: bool,
    /// The final head of a response was sent.
    pub is_final: bool,
    pub name: Option<StreamId>,
}

pub(super) struct Side {
    pub connection: Connection,
    pub watch: Watch,
    seen: usize,
    /// By numbers.
    pub streams: BTreeMap<u32, Known>,
    /// The next mark of a head.
    marks: u32,
    pub gone: bool,
    /// Bytes under way to the other side, each with the time of its arrival.
    pub link: Vec<(Millis, Vec<u8>)>,
}

/// The byte of a body at an offset.
fn byte(stream: u32, at: usize) -> u8 {
    (at as u32).wrapping_mul(31).wrapping_add(stream).to_le_bytes()[0]
}

fn mark(fields: &FieldBlock) -> u32 {
    let value = fields.get(b"mark").expect("each head has a mark");
    std::str::from_utf8(value).unwrap().parse().unwrap()
}

impl Side {
    pub(super) fn new(config: Config) -> Self {
        let mut side = Self {
            connection: Connection::new(config),
            watch: Watch::new(config.role),
            seen: 0,
            streams: BTreeMap::new(),
            marks: 0,
            gone: false,
            link: Vec::new(),
        };
        side.look();
        side
    }

    pub(super) fn role(&self) -> Role {
        self.connection.role()
    }

    /// Shows new output to the watch.
    pub(super) fn look(&mut self) {
        let output = self.connection.output();
        self.watch.wrote(&output[self.seen..]);
        self.seen = output.len();
    }

    /// Sends so many bytes of the output.
    pub(super) fn flush(&mut self, bytes: usize, arrival: Millis) {
        let output = self.connection.output();
        let bytes = bytes.min(output.len());
        if bytes > 0 {
            self.link.push((arrival, output[..bytes].to_vec()));
            self.connection.sent(bytes);
            self.seen -= bytes;
        }
        self.tell_writers();
    }

    /// Tells all who wait and now have room.
    pub(super) fn tell_writers(&mut self) {
        while let Some(stream) = self.connection.poll_writable() {
            let known = self.streams.get_mut(&stream.id).unwrap();
            assert!(known.waits && !known.forgotten, "{stream:?} was told without waiting");
            known.waits = false;
            assert!(self.connection.room(stream) > 0);
        }
    }

    pub(super) fn receive(&mut self, mut input: &[u8], now: Millis) {
        loop {
            let before = input;
            let event = self.connection.receive(&mut input, now);
            self.watch.received(&before[..before.len() - input.len()]);
            let event = event.unwrap_or_else(|error| panic!("{:?}: {error:?}", self.role()));
            let Some(event) = event else { break };
            self.take(event);
            self.look();
        }
        assert!(input.is_empty());
        self.look();
        self.tell_writers();
    }

    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Head { stream, ended, .. } => {
                let mark = mark(self.connection.fields());
                if self.role() == Role::Server {
                    let new = self.streams.insert(stream.id, Known::default());
                    assert!(new.is_none());
                    self.streams.get_mut(&stream.id).unwrap().name = Some(stream);
                }
                let known = self.known(stream);
                known.received.heads.push(mark);
                known.received.ended |= ended;
            }
            Event::Data { stream, bytes, ended, .. } => {
                let known = self.known(stream);
                for (at, found) in (known.received.body..).zip(bytes) {
                    assert_eq!(*found, byte(stream.id, at), "byte {at} of {stream:?}");
                }
                known.received.body += bytes.len();
                known.unread += bytes.len();
                known.received.ended |= ended;
            }
            Event::Trailers { stream, .. } => {
                let mark = mark(self.connection.fields());
                let known = self.known(stream);
                assert!(known.received.trailers.is_none());
                known.received.trailers = Some(mark);
                known.received.ended = true;
            }
            Event::Reset { stream, code, unprocessed, .. } => {
                let known = self.known(stream);
                assert!(known.reset.is_none(), "two resets of {stream:?}");
                known.reset = Some((code, unprocessed));
            }
            Event::GoAway { code } => {
                assert_eq!(code, ErrorCode::NO_ERROR);
                self.gone = true;
            }
            Event::Pong => {}
        }
    }

    /// A stream with an event: one that is not forgotten, ended or reset.
    fn known(&mut self, stream: StreamId) -> &mut Known {
        let known = self.streams.get_mut(&stream.id).unwrap();
        assert!(!known.forgotten && known.name == Some(stream));
        known
    }

    /// Opens a stream.
    pub(super) fn open(&mut self, wanted: usize, end: bool, random: &mut Random) {
        let mark = self.next_mark();
        let long = if random.one_in(30) { 20_000 } else { 3 };
        let stream = self.connection.open(end, |head| {
            head.field(b":method", b"POST");
            head.field(b"mark", mark.to_string().as_bytes());
            head.sensitive(b"long", &vec![b'~'; long]);
        });
        let known = Known { wanted, name: Some(stream), ..Known::default() };
        assert!(self.streams.insert(stream.id, known).is_none());
        let known = self.known(stream);
        known.sent.heads.push(mark);
        known.sent.ended = end;
    }

    fn next_mark(&mut self) -> u32 {
        self.marks += 1;
        self.marks
    }

    /// Sends a head, an interim one, or trailers.
    pub(super) fn send_head(&mut self, id: u32, status: u16, end: bool) {
        let mark = self.next_mark();
        let known = self.streams.get_mut(&id).unwrap();
        let stream = known.name.unwrap();
        if known.sent.heads.iter().any(|_| status == 0) {
            known.sent.trailers = Some(mark);
        } else {
            known.sent.heads.push(mark);
        }
        known.sent.ended |= end;
        self.connection.send_head(stream, end, |head| {
            if status != 0 {
                head.status(status);
            }
            head.field(b"mark", mark.to_string().as_bytes());
        });
    }

    /// Sends what there is room for, unless the stream waits to be told.
    pub(super) fn send_body(&mut self, id: u32, most: usize, end: bool) {
        let known = self.streams.get_mut(&id).unwrap();
        if known.waits || known.sent.ended {
            return;
        }
        let stream = known.name.unwrap();
        let left = known.wanted - known.sent.body;
        // Who asks waits if there is none.
        let room = if left > 0 { self.connection.room(stream) } else { 0 };
        known.waits = room == 0 && left > 0 && known.reset.is_none();
        let length = left.min(room).min(most);
        let ends = end && length == left;
        if length == 0 && !ends {
            return;
        }
        let bytes: Vec<_> =
            (known.sent.body..known.sent.body + length).map(|at| byte(id, at)).collect();
        known.sent.body += length;
        known.sent.ended = ends;
        self.connection.send_data(stream, &bytes, ends);
    }

    /// Reads received bytes.
    pub(super) fn read(&mut self, id: u32, most: usize) {
        let known = self.streams.get_mut(&id).unwrap();
        let bytes = known.unread.min(most);
        known.unread -= bytes;
        self.connection.release(known.name.unwrap(), bytes);
    }

    pub(super) fn forget(&mut self, id: u32) {
        let known = self.streams.get_mut(&id).unwrap();
        known.forgotten = true;
        if !(known.sent.ended && known.received.ended) && known.reset.is_none() {
            known.reset = Some((ErrorCode::CANCEL, false));
        }
        self.connection.forget(known.name.unwrap());
    }

    pub(super) fn reset(&mut self, id: u32, code: ErrorCode) {
        let known = self.streams.get_mut(&id).unwrap();
        known.reset = Some((code, false));
        known.waits = false;
        self.connection.reset(known.name.unwrap(), code);
    }
}
