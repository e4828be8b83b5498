//! Input that RFC 9113 forbids: what ends a stream, what ends the connection, and what is ignored.

use super::{proxy, server};
use crate::harness::{
    Backend, Event, Frame, H2Client, Reply, Server, code, flag, frame_kind as kind, is_nginx,
    literals, request,
};

const END_BOTH: u8 = flag::END_HEADERS | flag::END_STREAM;

fn get_block() -> Vec<u8> {
    literals(&request("GET", "/", ""))
}

fn get_frame(stream: u32) -> Frame {
    Frame::new(kind::HEADERS, END_BOTH, stream, get_block())
}

/// POST whose body is still to come.
fn post_frame(stream: u32) -> Frame {
    Frame::new(kind::HEADERS, flag::END_HEADERS, stream, literals(&request("POST", "/", "")))
}

/// A server, and a backend that responds at once.
fn ready() -> (Server, Backend) {
    let backend = Backend::text("fine");
    let server = proxy(&backend, "").start();
    (server, backend)
}

/// Each of these, after a request that was served, ends the connection with one of the codes, or
/// without any.
#[track_caller]
fn end_connections(cases: &[(&str, &[u32], Vec<Frame>)]) {
    let (server, _backend) = ready();
    for (name, codes, frames) in cases {
        let mut client = H2Client::of(&server);
        assert_eq!(client.get("/").status, 200);
        client.frames(frames);
        let gone = client.end();
        assert!(gone.is_none_or(|code| codes.contains(&code)), "{name}: {gone:?}");
        assert!(gone.is_some(), "{name}: no GOAWAY");
    }
    // Others are served all the same.
    assert_eq!(H2Client::of(&server).get("/").status, 200);
}

#[test]
fn frames_of_a_wrong_size_end_the_connection() {
    let size: &[u32] = &[code::FRAME_SIZE_ERROR];
    end_connections(&[
        ("SETTINGS of 5 bytes", size, vec![Frame::new(kind::SETTINGS, 0, 0, [0; 5])]),
        ("ACK with settings", size, vec![Frame::new(kind::SETTINGS, flag::ACK, 0, [0; 6])]),
        ("PING of 7 bytes", size, vec![Frame::new(kind::PING, 0, 0, [0; 7])]),
        (
            "RST_STREAM of 3 bytes",
            size,
            vec![post_frame(3), Frame::new(kind::RST_STREAM, 0, 3, [0; 3])],
        ),
        ("WINDOW_UPDATE of 3 bytes", size, vec![Frame::new(kind::WINDOW_UPDATE, 0, 0, [0; 3])]),
        ("GOAWAY of 7 bytes", size, vec![Frame::new(kind::GOAWAY, 0, 0, [0; 7])]),
        (
            "HEADERS without room for a priority",
            &[code::FRAME_SIZE_ERROR, code::PROTOCOL_ERROR],
            vec![Frame::new(kind::HEADERS, END_BOTH | flag::PRIORITY, 3, [0; 4])],
        ),
    ]);
}

#[test]
fn frames_larger_than_agreed_end_the_connection() {
    if is_nginx() {
        // It takes frames of 16 MiB.
        return;
    }
    end_connections(&[
        (
            "HEADERS",
            &[code::FRAME_SIZE_ERROR],
            vec![Frame::new(kind::HEADERS, END_BOTH, 3, vec![0; 16_385])],
        ),
        (
            "a type that is unknown",
            &[code::FRAME_SIZE_ERROR],
            vec![Frame::new(99, 0, 0, vec![0; 16_385])],
        ),
    ]);
}

#[test]
fn frames_out_of_order_end_the_connection() {
    let protocol: &[u32] = &[code::PROTOCOL_ERROR];
    let begun = || Frame::new(kind::HEADERS, flag::END_STREAM, 3, get_block());
    let more = |stream| Frame::new(kind::CONTINUATION, flag::END_HEADERS, stream, []);
    end_connections(&[
        ("CONTINUATION alone", protocol, vec![more(3)]),
        ("CONTINUATION after an end", protocol, vec![get_frame(3), more(3)]),
        ("CONTINUATION of another stream", protocol, vec![begun(), more(5)]),
        ("DATA inside of a block", protocol, vec![begun(), Frame::data(3, [], false)]),
        ("a PING inside of a block", protocol, vec![begun(), Frame::new(kind::PING, 0, 0, [0; 8])]),
        ("HEADERS inside of a block", protocol, vec![begun(), get_frame(5)]),
        ("an unknown type inside of a block", protocol, vec![begun(), Frame::new(99, 0, 3, [])]),
        (
            "PUSH_PROMISE",
            protocol,
            vec![Frame::new(kind::PUSH_PROMISE, flag::END_HEADERS, 1, [0; 8])],
        ),
    ]);
}

#[test]
fn wrong_stream_numbers_end_the_connection() {
    let codes: &[u32] = &[code::PROTOCOL_ERROR, code::STREAM_CLOSED];
    end_connections(&[
        ("an even number", codes, vec![get_frame(4)]),
        ("a smaller number", codes, vec![get_frame(9), get_frame(7)]),
        ("HEADERS on 0", codes, vec![get_frame(0)]),
        ("DATA on 0", codes, vec![Frame::data(0, [0], false)]),
        ("RST_STREAM on 0", codes, vec![Frame::reset(0, 8)]),
        ("SETTINGS on a stream", codes, vec![Frame::new(kind::SETTINGS, 0, 3, [])]),
        ("PING on a stream", codes, vec![Frame::new(kind::PING, 0, 3, [0; 8])]),
        ("CONTINUATION on 0", codes, vec![Frame::new(kind::CONTINUATION, 4, 0, [])]),
    ]);
}

#[test]
fn frames_on_idle_streams_end_the_connection() {
    if is_nginx() {
        // It ignores them, against RFC 9113, section 5.1.
        return;
    }
    let codes: &[u32] = &[code::PROTOCOL_ERROR, code::STREAM_CLOSED];
    end_connections(&[
        ("DATA", codes, vec![Frame::data(9, [0], true)]),
        ("RST_STREAM", codes, vec![Frame::reset(9, 8)]),
        ("WINDOW_UPDATE", codes, vec![Frame::window(9, 100)]),
    ]);
}

#[test]
fn padding_longer_than_its_frame_ends_the_connection() {
    let codes: &[u32] = &[code::PROTOCOL_ERROR, code::FRAME_SIZE_ERROR];
    let padded = |kind, length: usize, pad: u8| {
        let mut payload = vec![0; length];
        payload[0] = pad;
        Frame::new(kind, flag::PADDED | END_BOTH, 3, payload)
    };
    end_connections(&[
        ("DATA", codes, vec![post_frame(3), padded(kind::DATA, 5, 5)]),
        ("DATA by far", codes, vec![post_frame(3), padded(kind::DATA, 5, 255)]),
        ("HEADERS", codes, vec![padded(kind::HEADERS, 5, 5)]),
        (
            "no length of padding",
            codes,
            vec![post_frame(3), Frame::new(kind::DATA, flag::PADDED, 3, [])],
        ),
    ]);
}

#[test]
fn windows_that_overflow_are_faults() {
    let flow: &[u32] = &[code::FLOW_CONTROL_ERROR];
    let protocol: &[u32] = &[code::PROTOCOL_ERROR];
    end_connections(&[
        ("the connection's", flow, vec![Frame::window(0, i32::MAX as u32)]),
        ("an initial one", flow, vec![Frame::settings(&[(4, 1 << 31)])]),
        ("no increment", protocol, vec![Frame::window(0, 0)]),
    ]);
    let (server, _backend) = ready();
    for (increment, code) in
        [(i32::MAX as u32, code::FLOW_CONTROL_ERROR), (0, code::PROTOCOL_ERROR)]
    {
        let mut client = H2Client::of(&server);
        let stream = client.open(&request("POST", "/", ""), false);
        client.frame(&Frame::window(stream, increment));
        let outcome = client.wait("the fault", |event| match event {
            Event::Reset { code, .. } | Event::GoAway { code, .. } => Some(*code),
            _ => None,
        });
        assert_eq!(outcome, code, "{increment}");
    }
}

#[test]
fn wrong_settings_end_the_connection() {
    let protocol: &[u32] = &[code::PROTOCOL_ERROR];
    end_connections(&[
        ("a push of 2", protocol, vec![Frame::settings(&[(2, 2)])]),
        ("frames of 100 bytes", protocol, vec![Frame::settings(&[(5, 100)])]),
        ("frames of 16 MiB", protocol, vec![Frame::settings(&[(5, 1 << 24)])]),
    ]);
}

#[test]
fn blocks_that_do_not_decode_end_the_connection() {
    let compression: &[u32] = &[code::COMPRESSION_ERROR];
    let block = |bytes: &[u8]| vec![Frame::new(kind::HEADERS, END_BOTH, 3, bytes)];
    end_connections(&[
        ("index 0", compression, block(&[0x80])),
        ("an index beyond the table", compression, block(&[0xff, 0x50])),
        ("a name beyond the table", compression, block(&[0x7f, 0x50, 1, b'a'])),
        ("a table larger than agreed", compression, block(&[0x3f, 0xe2, 0x1f])),
        ("an integer without end", compression, block(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1])),
        (
            "Huffman's end of string",
            compression,
            block(&[0, 0x84, 0xff, 0xff, 0xff, 0xff, 1, b'a']),
        ),
        (
            "a string longer than its block",
            &[code::COMPRESSION_ERROR, code::FRAME_SIZE_ERROR],
            block(&[0, 9, b'a']),
        ),
    ]);
}

#[test]
fn long_huffman_padding_and_late_sizes_are_faults() {
    if is_nginx() {
        return;
    }
    let compression: &[u32] = &[code::COMPRESSION_ERROR];
    let late = [get_block(), vec![0x20]].concat();
    let padded = [get_block(), vec![0, 1, b'a', 0x82, 0x1f, 0xff]].concat();
    end_connections(&[
        ("a size after fields", compression, vec![Frame::new(kind::HEADERS, END_BOTH, 3, late)]),
        ("a byte of padding", compression, vec![Frame::new(kind::HEADERS, END_BOTH, 3, padded)]),
    ]);
}

/// Requests that RFC 9113, section 8, calls malformed, with names.
fn malformed() -> Vec<(&'static str, Vec<(String, String)>)> {
    let with = |name: &str, value: &str| {
        let mut fields = request("GET", "/", "");
        fields.push((name.to_owned(), value.to_owned()));
        fields
    };
    let without = |name: &str| {
        let mut fields = request("GET", "/", "");
        fields.retain(|(field, _)| field != name);
        fields
    };
    let set = |name: &str, value: &str| {
        let mut fields = request("GET", "/", "");
        let at = fields.iter().position(|(field, _)| field == name).unwrap();
        value.clone_into(&mut fields[at].1);
        fields
    };
    let mut late = request("GET", "/", "x: y");
    late.rotate_right(1);
    vec![
        ("upper case", with("X-Upper", "1")),
        ("a space in a name", with("x y", "1")),
        ("a colon in a name", with("x:y", "1")),
        ("NUL in a value", with("x", "a\0b")),
        ("LF in a value", with("x", "a\nb")),
        ("CR in a value", with("x", "a\rb")),
        ("an unknown pseudo-field", with(":other", "1")),
        ("a response's pseudo-field", with(":status", "200")),
        ("two methods", with(":method", "GET")),
        ("two paths", with(":path", "/")),
        ("two schemes", with(":scheme", "http")),
        ("no method", without(":method")),
        ("no path", without(":path")),
        ("no scheme", without(":scheme")),
        ("an empty path", set(":path", "")),
        ("an empty method", set(":method", "")),
        ("a path without a slash", set(":path", "a")),
        ("a late pseudo-field", late),
        ("Connection", with("connection", "close")),
        ("Keep-Alive", with("keep-alive", "1")),
        ("Proxy-Connection", with("proxy-connection", "close")),
        ("Transfer-Encoding", with("transfer-encoding", "chunked")),
        ("Upgrade", with("upgrade", "websocket")),
        ("TE", with("te", "gzip")),
        ("no host", without(":authority")),
        ("another Host", with("host", "elsewhere")),
        ("a length that is no number", with("content-length", "1x")),
        ("two lengths", {
            let mut fields = with("content-length", "0");
            fields.push(("content-length".to_owned(), "1".to_owned()));
            fields
        }),
    ]
}

/// Each is answered by 400, and the connection lives.
#[test]
fn malformed_requests_are_refused_alone() {
    let (server, backend) = ready();
    let mut client = H2Client::of(&server);
    for (name, fields) in &malformed() {
        if is_nginx() && *name == "Proxy-Connection" {
            continue;
        }
        if is_nginx() {
            // It ends the connection after some.
            client = H2Client::of(&server);
        }
        let stream = client.open(fields, true);
        client.partly(stream, |answer| answer.ended);
        if !is_nginx() {
            client.settle();
        }
        let answer = client.so_far(stream);
        let refused = answer.status == 400 || answer.reset == Some(code::PROTOCOL_ERROR);
        assert!(refused, "{name}: {answer:?}");
        assert_eq!(client.gone, None, "{name}");
    }
    assert_eq!(backend.count(), 0, "none has got through");
    assert_eq!(H2Client::of(&server).get("/").status, 200);
}

#[test]
fn a_malformed_request_is_reset_as_well() {
    if is_nginx() {
        return;
    }
    let (server, _backend) = ready();
    let mut client = H2Client::of(&server);
    let stream = client.open(&request("GET", "/", "connection: close"), true);
    client.partly(stream, |answer| answer.reset.is_some());
    assert_eq!(client.so_far(stream).reset, Some(code::PROTOCOL_ERROR));
}

#[test]
fn trace_and_connect_are_not_allowed() {
    let (server, backend) = ready();
    let mut client = H2Client::of(&server);
    let stream = client.open(&request("TRACE", "/", ""), true);
    assert_eq!(client.answer(stream).status, 405);
    let stream = client.open(&request("CONNECT", "/", ""), true);
    assert!(matches!(client.answer(stream).status, 400 | 405));
    let fields = [(":method", "CONNECT"), (":authority", "localhost:1")];
    let stream = client.open(&fields, true);
    assert!(matches!(client.answer(stream).status, 400 | 405));
    assert_eq!(client.gone, None);
    assert_eq!(backend.count(), 0);
}

#[test]
fn what_comes_after_the_end_of_a_stream() {
    let (server, _backend) = ready();
    // The stream is half-closed: an error of the stream or, as the RFC allows too, of the
    // connection.
    let mut client = H2Client::of(&server);
    client.frames(&[get_frame(1), Frame::data(1, [1], true)]);
    let fault = client.wait("an error", |event| match event {
        Event::Reset { code, .. } | Event::GoAway { code, .. } => Some(*code),
        _ => None,
    });
    assert_eq!(fault, code::STREAM_CLOSED);
    // RST_STREAM of ours, then what was under way: ignored.
    let mut client = H2Client::of(&server);
    client.frames(&[post_frame(1), Frame::reset(1, code::CANCEL), Frame::window(1, 10)]);
    let stream = 3;
    client.frame(&get_frame(stream));
    assert_eq!(client.answer(stream).status, 200);
}

#[test]
fn a_window_that_is_overrun_is_a_fault() {
    let backend = Backend::new(|_| Reply::hold());
    let conf = "proxy_request_buffering off; proxy_http_version 1.1; client_max_body_size 0;
        client_body_buffer_size 16k;";
    let server = proxy(&backend, conf).start();
    let mut client = H2Client::of(&server);
    client.is_polite = false;
    let stream = client.open(&request("POST", "/", ""), false);
    // Far more than any window of an unread body.
    for _ in 0..500 {
        if !client.frame(&Frame::data(stream, vec![0; 16_384], false)) {
            break;
        }
    }
    let fault = client.wait("the fault", |event| match event {
        Event::Reset { code, .. } | Event::GoAway { code, .. } => Some(*code),
        _ => None,
    });
    assert_eq!(fault, code::FLOW_CONTROL_ERROR);
}

#[test]
fn what_is_unknown_is_ignored() {
    let (server, _backend) = ready();
    let mut client = H2Client::of(&server);
    client.frames(&[
        Frame::new(99, 0xff, 0, [1, 2, 3]),
        Frame::new(98, 0, 7, []),
        Frame::settings(&[(99, 1), (0xffff, u32::MAX)]),
        Frame::new(kind::PING, 0, 0, [7; 8]),
        Frame::new(kind::SETTINGS, flag::ACK, 0, []),
        Frame::new(kind::PRIORITY, 0, 101, [0, 0, 0, 1, 9]),
        Frame::window(0, 1),
    ]);
    client.wait("PONG", |event| (*event == Event::PingAck(vec![7; 8])).then_some(()));
    assert_eq!(client.get("/").status, 200);
    // Unknown flags, and reserved bits.
    let stream = client.next_stream();
    let frame = Frame::new(kind::HEADERS, END_BOTH | 0xd0 & !flag::PRIORITY, stream, get_block());
    client.frame(&Frame { stream: stream | 1 << 31, ..frame });
    assert_eq!(client.answer(stream).status, 200);
}

#[test]
fn a_wrong_preface_ends_the_connection() {
    let server = server("return 200 a;").start();
    for bytes in [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rx"[..], b"PRI * HTTP/2.0\r\n\r\nxx\r\n\r\n"] {
        let mut client = H2Client::silent(&server.address("port"));
        client.raw(bytes);
        assert!(client.is_ended(), "{:?}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(H2Client::of(&server).get("/").status, 200);
}

#[test]
fn a_client_that_leaves_in_the_middle_harms_nobody() {
    let (server, _backend) = ready();
    let whole = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        Frame::settings(&[]).bytes(),
        post_frame(1).bytes(),
        Frame::data(1, [0; 10], false).bytes(),
    ]
    .concat();
    for length in 0..whole.len() {
        let mut client = H2Client::silent(&server.address("port"));
        client.raw(&whole[..length]);
        drop(client);
    }
    assert_eq!(H2Client::of(&server).get("/").status, 200);
}

/// The log tells who has ended a stream, and why.
#[test]
fn the_log_tells_who_has_reset_a_stream() {
    let backend = Backend::new(|_| Reply::hold());
    let server = proxy(&backend, "").start();
    let faults = |stream| {
        [
            ("violated flow control for", Frame::window(stream, i32::MAX as u32)),
            ("sent DATA frame for half-closed", Frame::data(stream, "more", true)),
            ("canceled", Frame::reset(stream, code::CANCEL)),
            ("terminated", Frame::reset(stream, code::FLOW_CONTROL_ERROR)),
        ]
    };
    for (what, frame) in faults(1) {
        let mut client = H2Client::of(&server);
        let stream = client.ask("/");
        client.settle();
        client.frame(&frame);
        // nginx says more about windows, and nothing about a reset of both sides.
        server.wait_log(&format!("client {what} stream {stream}"));
    }
    let log = server.error_log();
    assert_eq!(log.matches("client terminated stream 1 with status 3").count(), 1, "{log}");
    assert_eq!(log.matches("client terminated").count(), 1, "{log}");
}
