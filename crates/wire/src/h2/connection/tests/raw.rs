//! Frames that are written by hand, and a view of those that are sent.

use super::*;
use crate::h2::frame::{FrameHead, HEAD, flag, kind};
use crate::h2::{ErrorCode, StreamId};

/// The block of `GET http://a/`.
pub(super) const GET: &[u8] = b"\x82\x86\x84\x41\x01a";

/// The block of trailers.
pub(super) const TRAILERS: &[u8] = b"\x00\x01a\x01b";

/// The block of a response with status 200.
pub(super) const OK: &[u8] = b"\x88";

pub(super) const END: u8 = flag::END_STREAM;
pub(super) const HEADERS_END: u8 = flag::END_HEADERS;
pub(super) const WHOLE: u8 = END | HEADERS_END;

/// A frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let head = FrameHead { length: payload.len() as u32, kind, flags, stream };
    [&head.bytes(), payload].concat()
}

pub(super) fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, flags, stream, block)
}

pub(super) fn data(stream: u32, flags: u8, bytes: &[u8]) -> Vec<u8> {
    frame(kind::DATA, flags, stream, bytes)
}

pub(super) fn reset(stream: u32, code: ErrorCode) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &code.0.to_be_bytes())
}

pub(super) fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

pub(super) fn setting(id: u16, value: u32) -> Vec<u8> {
    let payload = [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(kind::SETTINGS, 0, 0, &payload)
}

pub(super) fn ping(flags: u8) -> Vec<u8> {
    frame(kind::PING, flags, 0, b"12345678")
}

/// The preface and settings of a client, or the settings of a server.
pub(super) fn opening(role: Role) -> Vec<u8> {
    let settings = frame(kind::SETTINGS, 0, 0, b"");
    match role {
        Role::Client => [PREFACE, &settings].concat(),
        Role::Server => settings,
    }
}

/// A frame that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Sent {
    /// The number at the start of the payload.
    pub(super) fn number(&self) -> u32 {
        u32::from_be_bytes(*self.payload.first_chunk().unwrap())
    }
}

/// Takes the output.
pub(super) fn sent(connection: &mut Connection) -> Vec<Sent> {
    let mut bytes = connection.output();
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() {
        let FrameHead { length, kind, flags, stream } = FrameHead::parse(head);
        let (payload, rest) = rest.split_at(length as usize);
        frames.push(Sent { kind, flags, stream, payload: payload.to_vec() });
        bytes = rest;
    }
    assert!(bytes.is_empty());
    connection.sent(connection.output().len());
    frames
}

/// A connection whose settings were exchanged, and whose output is empty.
pub(super) fn opened(config: Config) -> Connection {
    let mut connection = Connection::new(config);
    connection.sent(connection.output().len());
    let peer = match config.role {
        Role::Server => Role::Client,
        Role::Client => Role::Server,
    };
    let input = [opening(peer), frame(kind::SETTINGS, flag::ACK, 0, b"")].concat();
    assert_eq!(receive(&mut connection, &input, 0), Ok(vec![]));
    let acknowledgement =
        Sent { kind: kind::SETTINGS, flags: flag::ACK, stream: 0, payload: vec![] };
    assert_eq!(sent(&mut connection), [acknowledgement]);
    connection
}

/// An event, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Head(u32, bool),
    Data(u32, usize, bool),
    Trailers(u32),
    Reset(u32, ErrorCode, bool),
    GoAway(ErrorCode),
    Pong,
}

/// Gives input to a connection. Bodies stay unread.
pub(super) fn receive(
    connection: &mut Connection,
    mut input: &[u8],
    now: Millis,
) -> Result<Vec<Seen>, ErrorCode> {
    let mut seen = Vec::new();
    loop {
        match connection.receive(&mut input, now).map_err(|error| error.code)? {
            None => break,
            Some(event) => seen.push(match event {
                Event::Head { stream, ended, .. } => Seen::Head(stream.id, ended),
                Event::Data { stream, bytes, ended, .. } => {
                    Seen::Data(stream.id, bytes.len(), ended)
                }
                Event::Trailers { stream, .. } => Seen::Trailers(stream.id),
                Event::Reset { stream, code, unprocessed, .. } => {
                    Seen::Reset(stream.id, code, unprocessed)
                }
                Event::GoAway { code } => Seen::GoAway(code),
                Event::Pong => Seen::Pong,
            }),
        }
    }
    assert!(input.is_empty());
    Ok(seen)
}

/// The name of a stream that is not forgotten.
pub(super) fn name(connection: &mut Connection, id: u32) -> StreamId {
    let slot = connection.streams.find(id).unwrap();
    StreamId { id, slot }
}

/// Sends a whole response without a body.
pub(super) fn respond(connection: &mut Connection, id: u32) {
    let stream = name(connection, id);
    connection.send_head(stream, true, |head| head.status(204));
}

/// Sends a whole response, and forgets the stream.
pub(super) fn finish(connection: &mut Connection, id: u32) {
    respond(connection, id);
    let stream = name(connection, id);
    connection.forget(stream);
}
