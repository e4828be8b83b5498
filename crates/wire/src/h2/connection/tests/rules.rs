//! The rules of RFC 9113 for what a client sends, by section: a table of inputs and the
//! server's replies, each with the input as a whole and byte by byte.

use super::raw::*;
use super::*;
use crate::h2::ErrorCode;
use crate::h2::frame::{flag, kind};
use crate::h2::settings::id;

/// A step of a case.
enum Step {
    /// The client sends bytes.
    In(Vec<u8>),
    /// The server sends a whole response.
    Respond(u32),
    /// The server sends a whole response and forgets the stream.
    Finish(u32),
    /// The server resets a stream.
    Reset(u32),
    /// The server forgets a stream.
    Forget(u32),
}

/// What must come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    /// Nothing is wrong.
    Fine,
    /// RST_STREAM.
    Stream(u32, ErrorCode),
    /// GOAWAY.
    Connection(ErrorCode),
}

use Reply::{Connection as Gone, Fine, Stream as Rst};
use Step::{Finish, Forget, In, Reset, Respond};

const PROTOCOL: ErrorCode = ErrorCode::PROTOCOL_ERROR;
const SIZE: ErrorCode = ErrorCode::FRAME_SIZE_ERROR;
const FLOW: ErrorCode = ErrorCode::FLOW_CONTROL_ERROR;
const STREAM_CLOSED: ErrorCode = ErrorCode::STREAM_CLOSED;
const COMPRESSION: ErrorCode = ErrorCode::COMPRESSION_ERROR;

type Case = (&'static str, Vec<Step>, Reply);

/// Runs cases, each on a connection of its own.
fn check(cases: Vec<Case>) {
    for (name, steps, reply) in cases {
        for piece in [usize::MAX, 1, 10] {
            assert_eq!(run(&steps, piece), reply, "{name}, in pieces of {piece}");
        }
    }
}

fn run(steps: &[Step], piece: usize) -> Reply {
    let mut server = opened(config(Role::Server));
    let mut frames = Vec::new();
    for step in steps {
        match step {
            In(bytes) => {
                for piece in bytes.chunks(piece) {
                    // An error shows itself in the output.
                    let _ = receive(&mut server, piece, 0);
                }
            }
            Respond(id) => respond(&mut server, *id),
            Finish(id) => finish(&mut server, *id),
            Reset(id) => {
                let stream = name(&mut server, *id);
                server.reset(stream, ErrorCode::CANCEL);
                frames.extend(sent(&mut server).into_iter().filter(|f| f.kind != kind::RST_STREAM));
            }
            Forget(id) => {
                let stream = name(&mut server, *id);
                server.forget(stream);
                frames.extend(sent(&mut server).into_iter().filter(|f| f.kind != kind::RST_STREAM));
            }
        }
        frames.extend(sent(&mut server));
    }
    let mut replies = frames.iter().filter_map(|frame| match frame.kind {
        kind::GOAWAY => {
            Some(Gone(ErrorCode(u32::from_be_bytes(*frame.payload[4..].first_chunk().unwrap()))))
        }
        kind::RST_STREAM => Some(Rst(frame.stream, ErrorCode(frame.number()))),
        _ => None,
    });
    let reply = replies.next().unwrap_or(Fine);
    assert_eq!(replies.next(), None);
    reply
}

fn input(frames: &[Vec<u8>]) -> Step {
    In(frames.concat())
}

fn get(id: u32) -> Vec<u8> {
    headers(id, WHOLE, GET)
}

/// A request whose body is to come.
fn post(id: u32) -> Vec<u8> {
    headers(id, HEADERS_END, GET)
}

/// Larger frames are taken from the moment on that they are announced.
#[test]
fn frames_as_large_as_announced() {
    let large = |id| headers(id, WHOLE, &[GET, &[0x90; 17_000][..]].concat());
    let most = Config { max_head: 1 << 20, max_fields: 100_000, ..config(Role::Server) };
    let mut server = opened(most);
    server.announce_frame_size(20_000);
    server.announce_frame_size(18_000);
    let told = sent(&mut server);
    assert_eq!(told.len(), 1, "smaller ones change nothing");
    assert_eq!(
        (told[0].kind, &told[0].payload[..]),
        (kind::SETTINGS, &[0, 5, 0, 0, 0x4e, 0x20][..])
    );
    assert!(receive(&mut server, &large(1), 0).is_ok());
    let too_large = headers(3, WHOLE, &[0x90; 20_001]);
    assert_eq!(receive(&mut server, &too_large, 0), Err(SIZE));
    assert_eq!(receive(&mut opened(most), &large(1), 0), Err(SIZE), "not announced");
}

/// The first bytes: section 3.4.
#[test]
fn prefaces() {
    for (bytes, good) in [
        (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], true),
        (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", false),
        (b"GET / HTTP/1.1\r\n\r\n", false),
    ] {
        for piece in [1, 7, 100] {
            let mut server = Connection::new(config(Role::Server));
            let mut pieces = bytes.chunks(piece);
            let result = pieces.try_for_each(|piece| receive(&mut server, piece, 0).map(drop));
            assert_eq!(result, if good { Ok(()) } else { Err(PROTOCOL) });
        }
    }
    let not_settings =
        [ping(0), get(1), frame(kind::SETTINGS, flag::ACK, 0, b""), frame(99, 0, 0, b"")];
    // A server must begin with its settings; clients that do not are served, as by nginx.
    for first in not_settings {
        let mut client = Connection::new(config(Role::Client));
        assert_eq!(receive(&mut client, &first, 0), Err(PROTOCOL));
    }
    let mut server = Connection::new(config(Role::Server));
    assert!(receive(&mut server, &[PREFACE, &get(1)].concat(), 0).is_ok());
}

/// Sections 4.1 and 4.2.
#[test]
fn frames() {
    check(vec![
        ("unknown type", vec![input(&[frame(0xee, 0xff, 0, b"abc"), ping(0)])], Fine),
        ("unknown type on a stream", vec![input(&[frame(0xee, 0, 7, b"abc"), get(1)])], Fine),
        ("unknown flags", vec![input(&[frame(kind::PING, 0xfe, 0, &[0; 8])])], Fine),
        ("reserved bit", vec![input(&[frame(kind::PING, 0, 1 << 31, &[0; 8])])], Fine),
        (
            "unknown type in a block",
            vec![input(&[headers(1, END, GET), frame(0xee, 0, 1, b"")])],
            Gone(PROTOCOL),
        ),
        ("2^14 bytes", vec![input(&[post(1), data(1, 0, &[0; 16_384])])], Fine),
        ("2^14 + 1 bytes of DATA", vec![input(&[post(1), data(1, 0, &[0; 16_385])])], Gone(SIZE)),
        ("2^14 + 1 bytes of HEADERS", vec![input(&[headers(1, WHOLE, &[0; 16_385])])], Gone(SIZE)),
    ]);
}

/// Section 4.3 and RFC 7541.
#[test]
fn header_blocks() {
    check(vec![
        ("bad index", vec![input(&[headers(1, WHOLE, b"\xc6")])], Gone(COMPRESSION)),
        ("index 0", vec![input(&[headers(1, WHOLE, b"\x80")])], Gone(COMPRESSION)),
        ("incomplete integer", vec![input(&[headers(1, WHOLE, b"\xff")])], Gone(SIZE)),
        ("incomplete length", vec![input(&[headers(1, WHOLE, b"\x42\xff")])], Gone(SIZE)),
        ("nothing behind an index", vec![input(&[headers(1, WHOLE, b"\x40")])], Gone(COMPRESSION)),
        (
            "incomplete field",
            vec![input(&[headers(1, WHOLE, b"\x82\x86\x84\x41")])],
            Gone(COMPRESSION),
        ),
        (
            "table larger than allowed",
            vec![input(&[headers(1, WHOLE, b"\x3f\xe2\x1f\x82")])],
            Gone(COMPRESSION),
        ),
        (
            "late size of the table",
            vec![input(&[headers(1, WHOLE, b"\x82\x20")])],
            Gone(COMPRESSION),
        ),
        (
            "long padding of a string",
            vec![input(&[headers(1, WHOLE, b"\x82\x86\x84\x41\x82\x1f\xff")])],
            Gone(COMPRESSION),
        ),
        ("other frame in a block", vec![input(&[headers(1, END, GET), ping(0)])], Gone(PROTOCOL)),
        (
            "other stream in a block",
            vec![input(&[headers(1, END, GET), headers(3, WHOLE, GET)])],
            Gone(PROTOCOL),
        ),
        (
            "errors also in dropped heads",
            vec![input(&[post(1)]), Reset(1), input(&[headers(1, WHOLE, b"\x80")])],
            Gone(COMPRESSION),
        ),
    ]);
}

/// Section 5.1.
#[test]
fn states() {
    let closed = |step: Step, frame: Vec<u8>| vec![input(&[get(1)]), step, In(frame)];
    let by_client = |frame: Vec<u8>| vec![input(&[post(1), reset(1, ErrorCode::CANCEL), frame])];
    let by_server = |frame: Vec<u8>| vec![input(&[post(1)]), Reset(1), In(frame)];
    check(vec![
        ("idle: DATA", vec![input(&[data(1, END, b"a")])], Gone(PROTOCOL)),
        ("idle: RST_STREAM", vec![input(&[reset(1, ErrorCode::CANCEL)])], Gone(PROTOCOL)),
        ("idle: WINDOW_UPDATE", vec![input(&[window_update(1, 9)])], Gone(PROTOCOL)),
        (
            "idle: CONTINUATION",
            vec![input(&[frame(kind::CONTINUATION, HEADERS_END, 1, GET)])],
            Gone(PROTOCOL),
        ),
        ("idle: PRIORITY", vec![input(&[frame(kind::PRIORITY, 0, 1, &[0; 5])])], Fine),
        ("half-closed: DATA", vec![input(&[get(1), data(1, END, b"a")])], Rst(1, STREAM_CLOSED)),
        ("half-closed: HEADERS", vec![input(&[get(1), get(1)])], Rst(1, STREAM_CLOSED)),
        (
            "half-closed: CONTINUATION",
            vec![input(&[get(1), frame(kind::CONTINUATION, HEADERS_END, 1, GET)])],
            Gone(PROTOCOL),
        ),
        ("half-closed: WINDOW_UPDATE", vec![input(&[get(1), window_update(1, 9)])], Fine),
        (
            "half-closed: PRIORITY",
            vec![input(&[get(1), frame(kind::PRIORITY, 0, 1, &[0; 5])])],
            Fine,
        ),
        ("reset by the client: DATA", by_client(data(1, 0, b"a")), Gone(STREAM_CLOSED)),
        (
            "reset by the client: HEADERS",
            by_client(headers(1, WHOLE, TRAILERS)),
            Gone(STREAM_CLOSED),
        ),
        ("reset by the client: PRIORITY", by_client(frame(kind::PRIORITY, 0, 1, &[0; 5])), Fine),
        ("reset by the client: RST_STREAM", by_client(reset(1, ErrorCode::CANCEL)), Fine),
        ("reset by the server: DATA", by_server(data(1, 0, b"a")), Fine),
        ("reset by the server: trailers", by_server(headers(1, WHOLE, TRAILERS)), Fine),
        ("reset by the server: WINDOW_UPDATE", by_server(window_update(1, 1)), Fine),
        ("reset by the server: zero increment", by_server(window_update(1, 0)), Fine),
        ("closed: DATA", closed(Respond(1), data(1, END, b"a")), Gone(STREAM_CLOSED)),
        ("closed: HEADERS", closed(Respond(1), get(1)), Gone(STREAM_CLOSED)),
        ("closed: WINDOW_UPDATE", closed(Respond(1), window_update(1, 1)), Fine),
        ("closed: RST_STREAM", closed(Respond(1), reset(1, ErrorCode::CANCEL)), Fine),
        ("forgotten: DATA", closed(Finish(1), data(1, END, b"a")), Gone(STREAM_CLOSED)),
        ("forgotten: HEADERS", closed(Finish(1), get(1)), Gone(STREAM_CLOSED)),
        ("forgotten: WINDOW_UPDATE", closed(Finish(1), window_update(1, 1)), Fine),
        ("forgotten: RST_STREAM", closed(Finish(1), reset(1, ErrorCode::CANCEL)), Fine),
        ("given up: DATA", vec![input(&[post(1)]), Forget(1), input(&[data(1, 0, b"a")])], Fine),
        (
            "given up: trailers",
            vec![input(&[post(1)]), Forget(1), input(&[headers(1, WHOLE, TRAILERS)])],
            Fine,
        ),
        (
            "early response: the rest of the body",
            vec![input(&[post(1)]), Respond(1), Forget(1), input(&[data(1, END, b"a")])],
            Fine,
        ),
    ]);
}

/// Sections 5.1.1, 5.1.2 and 5.3.
#[test]
fn numbers() {
    let eight: Vec<_> = (0..8).map(|i| post(2 * i + 1)).collect();
    check(vec![
        ("even", vec![input(&[get(2)])], Gone(PROTOCOL)),
        ("zero", vec![input(&[get(0)])], Gone(PROTOCOL)),
        ("below the last", vec![input(&[get(5), get(3)])], Gone(PROTOCOL)),
        (
            "unused below the last: DATA",
            vec![input(&[get(5), data(3, 0, b"")])],
            Gone(STREAM_CLOSED),
        ),
        ("unused below the last: RST_STREAM", vec![input(&[get(5), reset(3, PROTOCOL)])], Fine),
        ("the highest", vec![input(&[get(0x7fff_ffff)])], Fine),
        ("as many as allowed", vec![input(&eight)], Fine),
        ("one more", vec![input(&eight), input(&[get(17)])], Rst(17, ErrorCode::REFUSED_STREAM)),
        (
            "one more, but one has ended",
            vec![input(&eight), input(&[data(3, END, b"")]), Respond(3), input(&[get(17)])],
            Fine,
        ),
        (
            "a refused one is not idle",
            vec![input(&eight), input(&[post(17), data(17, 0, b"a"), reset(17, PROTOCOL)])],
            Rst(17, ErrorCode::REFUSED_STREAM),
        ),
        (
            "depends on itself",
            vec![input(&[headers(1, WHOLE | flag::PRIORITY, &[&[0, 0, 0, 1, 7], GET].concat())])],
            Gone(PROTOCOL),
        ),
        (
            "depends on another",
            vec![input(&[headers(
                3,
                WHOLE | flag::PRIORITY,
                &[&[0x80, 0, 0, 1, 7], GET].concat(),
            )])],
            Fine,
        ),
        (
            "PRIORITY: depends on itself",
            vec![input(&[frame(kind::PRIORITY, 0, 3, &[0x80, 0, 0, 3, 7])])],
            Gone(PROTOCOL),
        ),
    ]);
}

/// Section 6.1.
#[test]
fn data_frames() {
    let padded = flag::PADDED;
    check(vec![
        ("on the connection", vec![input(&[data(0, 0, b"a")])], Gone(PROTOCOL)),
        ("padding", vec![input(&[post(1), data(1, padded | END, b"\x02ab\0\0")])], Fine),
        ("padding only", vec![input(&[post(1), data(1, padded, b"\x02\0\0")])], Fine),
        ("padding of no bytes", vec![input(&[post(1), data(1, padded, b"\0")])], Fine),
        ("padding too long", vec![input(&[post(1), data(1, padded, b"\x03\0\0")])], Gone(PROTOCOL)),
        ("padding without its length", vec![input(&[post(1), data(1, padded, b"")])], Gone(SIZE)),
    ]);
}

/// Sections 6.2, 6.3 and 8.1.
#[test]
fn heads() {
    let padded = flag::PADDED;
    check(vec![
        (
            "padding",
            vec![input(&[headers(1, WHOLE | padded, &[b"\x01", GET, b"\0"].concat())])],
            Fine,
        ),
        (
            "padding too long",
            vec![input(&[headers(1, WHOLE | padded, &[b"\x07", GET].concat())])],
            Gone(PROTOCOL),
        ),
        (
            "without the padding's length",
            vec![input(&[headers(1, WHOLE | padded, b"")])],
            Gone(SIZE),
        ),
        ("trailers", vec![input(&[post(1), headers(1, WHOLE, TRAILERS)])], Fine),
        (
            "trailers without an end",
            vec![input(&[post(1), headers(1, HEADERS_END, TRAILERS)])],
            Rst(1, PROTOCOL),
        ),
        (
            "PRIORITY on the connection",
            vec![input(&[frame(kind::PRIORITY, 0, 0, &[0, 0, 0, 1, 1])])],
            Gone(PROTOCOL),
        ),
        (
            "PRIORITY too short",
            vec![input(&[get(1), frame(kind::PRIORITY, 0, 1, &[0; 4])])],
            Gone(SIZE),
        ),
        (
            "PUSH_PROMISE",
            vec![input(&[get(1), frame(kind::PUSH_PROMISE, HEADERS_END, 1, &[0; 8])])],
            Gone(PROTOCOL),
        ),
    ]);
}

/// Sections 6.4, 6.5, 6.7 and 6.8.
#[test]
fn control_frames() {
    let setting = |id: u16, value: u32| vec![In(setting(id, value))];
    check(vec![
        ("RST_STREAM on the connection", vec![input(&[reset(0, PROTOCOL)])], Gone(PROTOCOL)),
        (
            "RST_STREAM too short",
            vec![input(&[get(1), frame(kind::RST_STREAM, 0, 1, b"abc")])],
            Gone(SIZE),
        ),
        (
            "RST_STREAM on an even stream",
            vec![input(&[get(3), reset(2, PROTOCOL)])],
            Gone(PROTOCOL),
        ),
        ("SETTINGS on a stream", vec![input(&[frame(kind::SETTINGS, 0, 1, b"")])], Gone(PROTOCOL)),
        ("SETTINGS of 5 bytes", vec![input(&[frame(kind::SETTINGS, 0, 0, b"12345")])], Gone(SIZE)),
        (
            "acknowledgement with a payload",
            vec![input(&[frame(kind::SETTINGS, flag::ACK, 0, &[0; 6])])],
            Gone(SIZE),
        ),
        ("ENABLE_PUSH", setting(id::ENABLE_PUSH, 2), Gone(PROTOCOL)),
        ("INITIAL_WINDOW_SIZE", setting(id::INITIAL_WINDOW_SIZE, 1 << 31), Gone(FLOW)),
        ("MAX_FRAME_SIZE too small", setting(id::MAX_FRAME_SIZE, 16_383), Gone(PROTOCOL)),
        ("MAX_FRAME_SIZE too large", setting(id::MAX_FRAME_SIZE, 1 << 24), Gone(PROTOCOL)),
        ("unknown setting", setting(0xff, u32::MAX), Fine),
        ("PING on a stream", vec![input(&[frame(kind::PING, 0, 1, &[0; 8])])], Gone(PROTOCOL)),
        ("PING too short", vec![input(&[frame(kind::PING, 0, 0, &[0; 6])])], Gone(SIZE)),
        ("unexpected PING acknowledgement", vec![input(&[ping(flag::ACK)])], Fine),
        ("GOAWAY on a stream", vec![input(&[frame(kind::GOAWAY, 0, 1, &[0; 8])])], Gone(PROTOCOL)),
        ("GOAWAY too short", vec![input(&[frame(kind::GOAWAY, 0, 0, &[0; 7])])], Gone(SIZE)),
        (
            "GOAWAY, then a request",
            vec![input(&[frame(kind::GOAWAY, 0, 0, &[0; 9]), get(1)])],
            Fine,
        ),
        (
            "PRIORITY_UPDATE on a stream",
            vec![input(&[frame(kind::PRIORITY_UPDATE, 0, 1, &[0, 0, 0, 1])])],
            Gone(PROTOCOL),
        ),
        (
            "PRIORITY_UPDATE for the connection",
            vec![input(&[frame(kind::PRIORITY_UPDATE, 0, 0, &[0; 4])])],
            Gone(PROTOCOL),
        ),
        (
            "PRIORITY_UPDATE too short",
            vec![input(&[frame(kind::PRIORITY_UPDATE, 0, 0, &[0; 3])])],
            Gone(SIZE),
        ),
        (
            "PRIORITY_UPDATE",
            vec![input(&[frame(kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1"), get(1)])],
            Fine,
        ),
    ]);
}

/// Section 6.9.
#[test]
fn windows() {
    let most = window_update(0, 0x7fff_ffff - 65_535);
    let most_of_stream = window_update(1, 0x7fff_ffff - 65_535);
    let change = |value| setting(id::INITIAL_WINDOW_SIZE, value);
    let overrun: Vec<_> = (0..4).map(|_| data(1, 0, &[0; 16_384])).collect();
    check(vec![
        ("zero increment of the connection", vec![input(&[window_update(0, 0)])], Gone(PROTOCOL)),
        (
            "zero increment of a stream",
            vec![input(&[get(1), window_update(1, 0)])],
            Rst(1, PROTOCOL),
        ),
        ("wrong size", vec![input(&[frame(kind::WINDOW_UPDATE, 0, 0, b"abc")])], Gone(SIZE)),
        ("the greatest of the connection", vec![In(most.clone())], Fine),
        ("one more of the connection", vec![input(&[most, window_update(0, 1)])], Gone(FLOW)),
        ("the greatest of a stream", vec![input(&[get(1), most_of_stream.clone()])], Fine),
        (
            "one more of a stream",
            vec![input(&[get(1), most_of_stream.clone(), window_update(1, 1)])],
            Rst(1, FLOW),
        ),
        (
            "a setting that makes it too large",
            vec![input(&[get(1), most_of_stream.clone(), change(65_536)])],
            Gone(FLOW),
        ),
        (
            "a setting that makes it negative",
            vec![input(&[get(1), most_of_stream, change(0)])],
            Fine,
        ),
        (
            "the window of a stream is used",
            vec![input(&[post(1)]), input(&overrun[1..]), input(&[data(1, 0, &[0; 16_383])])],
            Fine,
        ),
        (
            "the window of a stream is exceeded",
            vec![input(&[post(1)]), input(&overrun)],
            Rst(1, FLOW),
        ),
    ]);
}

/// Section 6.10.
#[test]
fn continuations() {
    let continuation = |flags: u8, block: &[u8]| frame(kind::CONTINUATION, flags, 1, block);
    let end = |flags: u8| continuation(flags, b"");
    check(vec![
        (
            "one",
            vec![input(&[headers(1, END, &GET[..2]), continuation(HEADERS_END, &GET[2..])])],
            Fine,
        ),
        (
            "several",
            vec![input(&[
                headers(1, END, &GET[..2]),
                continuation(0, &GET[2..3]),
                continuation(0, &GET[3..]),
                end(HEADERS_END),
            ])],
            Fine,
        ),
        (
            "of trailers",
            vec![input(&[
                post(1),
                headers(1, END, &TRAILERS[..2]),
                continuation(HEADERS_END, &TRAILERS[2..]),
            ])],
            Fine,
        ),
        (
            "then another frame",
            vec![input(&[headers(1, END, GET), end(0), ping(0)])],
            Gone(PROTOCOL),
        ),
        (
            "of the connection",
            vec![input(&[headers(1, END, GET), frame(kind::CONTINUATION, HEADERS_END, 0, b"")])],
            Gone(PROTOCOL),
        ),
        ("after a whole head", vec![input(&[get(1), end(HEADERS_END)])], Gone(PROTOCOL)),
        (
            "after the last one",
            vec![input(&[headers(1, END, GET), end(HEADERS_END), end(HEADERS_END)])],
            Gone(PROTOCOL),
        ),
        ("after DATA", vec![input(&[post(1), data(1, 0, b"a"), end(HEADERS_END)])], Gone(PROTOCOL)),
    ]);
}

/// Section 8.1.1: a malformed request may be answered before it is reset.
#[test]
fn a_reset_may_follow_a_whole_response() {
    let mut server = opened(config(Role::Server));
    receive(&mut server, &get(1), 0).unwrap();
    respond(&mut server, 1);
    let stream = name(&mut server, 1);
    server.reset(stream, PROTOCOL);
    server.reset(stream, PROTOCOL);
    server.forget(stream);
    let kinds: Vec<_> = sent(&mut server).iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, [kind::HEADERS, kind::RST_STREAM]);
}

/// Section 6.5.3: SETTINGS and PING are answered, acknowledgements are not.
#[test]
fn answers() {
    let mut server = opened(config(Role::Server));
    let input = [setting(0xff, 0), ping(0), ping(flag::ACK)].concat();
    receive(&mut server, &input, 0).unwrap();
    let sent: Vec<_> =
        sent(&mut server).into_iter().map(|f| (f.kind, f.flags, f.payload)).collect();
    let settings = (kind::SETTINGS, flag::ACK, vec![]);
    assert_eq!(sent, [settings, (kind::PING, flag::ACK, b"12345678".to_vec())]);
}

/// Section 6.8: GOAWAY counts a request that cannot be decoded, which is not to be repeated.
#[test]
fn an_undecodable_request_counts() {
    for (block, last) in [(&b"\x80"[..], 5), (b"\x3f\xe2\x1f", 5), (b"\xff", 5)] {
        let mut server = opened(config(Role::Server));
        receive(&mut server, &get(1), 0).unwrap();
        assert!(receive(&mut server, &headers(5, WHOLE, block), 0).is_err(), "{block:?}");
        let go_away = sent(&mut server).pop().unwrap();
        assert_eq!((go_away.kind, go_away.number()), (kind::GOAWAY, last));
    }
}
