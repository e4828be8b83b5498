//! A client, whose server is written by hand.

use super::raw::*;
use super::*;
use crate::h2::frame::kind;
use crate::h2::settings::id;
use crate::h2::window::MAX_WINDOW;
use crate::h2::{ErrorCode, StreamId};

fn client() -> Connection {
    opened(config(Role::Client))
}

fn post(client: &mut Connection) -> StreamId {
    client.open(false, |head| head.field(b":method", b"POST"))
}

fn get(client: &mut Connection) -> StreamId {
    client.open(true, |head| head.field(b":method", b"GET"))
}

fn go_away(last: u32) -> Vec<u8> {
    let payload = [&last.to_be_bytes()[..], &[0; 4]].concat();
    frame(kind::GOAWAY, 0, 0, &payload)
}

#[test]
fn it_announces_itself() {
    let client = Connection::new(config(Role::Client));
    let settings = client.output().strip_prefix(PREFACE).unwrap();
    let expected = [
        frame(
            kind::SETTINGS,
            0,
            0,
            &[0, 2, 0, 0, 0, 0, 0, 4, 0, 0, 0xff, 0xff, 0, 5, 0, 0, 0x40, 0],
        ),
        window_update(0, (1 << 20) - 65_535),
    ];
    assert_eq!(settings, expected.concat());
}

#[test]
fn heads_bodies_and_trailers() {
    let mut client = client();
    let stream = get(&mut client);
    let interim = b"\x08\x03103";
    let input = [
        headers(1, HEADERS_END, interim),
        headers(1, HEADERS_END, OK),
        data(1, 0, b"abc"),
        headers(1, WHOLE, TRAILERS),
    ];
    use Seen::{Data, Head, Trailers};
    assert_eq!(
        receive(&mut client, &input.concat(), 0),
        Ok(vec![Head(1, false), Head(1, false), Data(1, 3, false), Trailers(1)])
    );
    client.forget(stream);
    assert_eq!(client.streams(), 0);
    let kinds: Vec<_> = sent(&mut client).iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, [kind::HEADERS], "nothing is left to be said");
}

/// What is a fault of a client (`rules.rs`) is none of an upstream.
#[test]
fn long_padding_of_a_string_is_taken() {
    let mut client = client();
    get(&mut client);
    let padded = headers(1, WHOLE, b"\x88\x40\x01a\x82\x1f\xff");
    assert_eq!(receive(&mut client, &padded, 0), Ok(vec![Seen::Head(1, true)]));
    assert_eq!(client.fields().get(b"a"), Some(&b"a"[..]));
}

#[test]
fn heads_in_many_parts() {
    let most = limits::CONTINUATIONS_OF_UPSTREAMS as usize;
    for (parts, good) in [(most, true), (most + 1, false)] {
        let mut client = client();
        get(&mut client);
        let mut input = headers(1, 0, OK);
        for part in 1..=parts {
            let flags = if part == parts { HEADERS_END } else { 0 };
            input.extend(frame(kind::CONTINUATION, flags, 1, &[]));
        }
        let expected =
            if good { Ok(vec![Seen::Head(1, false)]) } else { Err(ErrorCode::ENHANCE_YOUR_CALM) };
        assert_eq!(receive(&mut client, &input, 0), expected, "{parts}");
    }
}

#[test]
fn faults_of_a_server() {
    const PROTOCOL: ErrorCode = ErrorCode::PROTOCOL_ERROR;
    let fault = |code| Ok(vec![Seen::Reset(1, code, false)]);
    let cases = [
        ("DATA before a head", data(1, 0, b"a"), fault(PROTOCOL)),
        ("an interim head that ends", headers(1, WHOLE, b"\x08\x03100"), fault(PROTOCOL)),
        ("a head on an idle stream", headers(5, WHOLE, OK), Err(PROTOCOL)),
        ("a head on a server's stream", headers(2, WHOLE, OK), Err(PROTOCOL)),
        ("DATA on an idle stream", data(5, 0, b""), Err(PROTOCOL)),
        ("a push", frame(kind::PUSH_PROMISE, HEADERS_END, 1, b"\0\0\0\x02"), Err(PROTOCOL)),
        ("pushes turned on", setting(id::ENABLE_PUSH, 1), Err(PROTOCOL)),
        ("PRIORITY_UPDATE", frame(kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1"), Err(PROTOCOL)),
    ];
    for (name, input, expected) in cases {
        let mut client = client();
        get(&mut client);
        assert_eq!(receive(&mut client, &input, 0), expected, "{name}");
    }
}

#[test]
fn resets_say_whether_the_request_was_processed() {
    let mut client = client();
    for _ in 0..3 {
        post(&mut client);
    }
    let input = [
        reset(1, ErrorCode::REFUSED_STREAM),
        reset(3, ErrorCode::CANCEL),
        headers(5, WHOLE, OK),
        reset(5, ErrorCode::NO_ERROR),
    ];
    assert_eq!(
        receive(&mut client, &input.concat(), 0),
        Ok(vec![
            Seen::Reset(1, ErrorCode::REFUSED_STREAM, true),
            Seen::Reset(3, ErrorCode::CANCEL, false),
            Seen::Head(5, true),
            Seen::Reset(5, ErrorCode::NO_ERROR, false),
        ])
    );
    let stream = name(&mut client, 5);
    assert_eq!(client.room(stream), 0);
}

#[test]
fn goaway_excludes_streams_above_the_last() {
    let mut client = client();
    for _ in 0..4 {
        get(&mut client);
    }
    let refused = |stream| Seen::Reset(stream, ErrorCode::REFUSED_STREAM, true);
    let gone = Seen::GoAway(ErrorCode::NO_ERROR);
    assert_eq!(receive(&mut client, &go_away(0x7fff_ffff), 0), Ok(vec![gone.clone()]));
    assert!(!client.can_open() && !client.is_over());
    let seen = receive(&mut client, &go_away(3), 0);
    assert_eq!(seen, Ok(vec![gone.clone(), refused(5), refused(7)]));
    // A server must not raise it again.
    assert_eq!(receive(&mut client, &go_away(7), 0), Ok(vec![gone]));
    let input = [headers(1, WHOLE, OK), headers(3, WHOLE, OK)].concat();
    assert_eq!(receive(&mut client, &input, 0), Ok(vec![Seen::Head(1, true), Seen::Head(3, true)]));
    for id in [1, 3, 5, 7] {
        assert!(!client.is_over());
        let stream = name(&mut client, id);
        client.forget(stream);
    }
    assert!(client.is_over());
}

#[test]
fn the_server_says_how_many_streams_it_takes() {
    let mut client = client();
    let limit = |limit| setting(id::MAX_CONCURRENT_STREAMS, limit);
    receive(&mut client, &limit(2), 0).unwrap();
    let first = get(&mut client);
    get(&mut client);
    assert!(!client.can_open());
    receive(&mut client, &limit(3), 0).unwrap();
    assert!(client.can_open());
    receive(&mut client, &limit(1), 0).unwrap();
    receive(&mut client, &headers(1, WHOLE, OK), 0).unwrap();
    assert!(!client.can_open(), "one is open still");
    receive(&mut client, &headers(3, WHOLE, OK), 0).unwrap();
    assert!(client.can_open());
    receive(&mut client, &limit(0), 0).unwrap();
    assert!(!client.can_open());
    client.forget(first);
}

#[test]
fn numbers_end() {
    let mut client = client();
    client.ending.set_last(MAX_WINDOW - 2);
    assert!(client.can_open());
    assert_eq!(get(&mut client).id, MAX_WINDOW);
    assert!(!client.can_open());
}

#[test]
fn a_window_may_become_negative() {
    let mut client = client();
    let stream = post(&mut client);
    client.send_data(stream, &[0; 1000], false);
    receive(&mut client, &setting(id::INITIAL_WINDOW_SIZE, 600), 0).unwrap();
    assert_eq!(client.room(stream), 0);
    receive(&mut client, &window_update(1, 400), 0).unwrap();
    assert_eq!((client.room(stream), client.poll_writable()), (0, None));
    receive(&mut client, &window_update(1, 7), 0).unwrap();
    assert_eq!(client.poll_writable(), Some(stream));
    assert_eq!(client.room(stream), 7);
    let other = post(&mut client);
    assert_eq!(client.room(other), 600);
}

#[test]
fn frames_of_data_heed_the_servers_size() {
    let mut config = config(Role::Client);
    config.chunk = 1 << 20;
    let mut client = opened(config);
    receive(&mut client, &setting(id::INITIAL_WINDOW_SIZE, 1 << 20), 0).unwrap();
    receive(&mut client, &window_update(0, 1 << 20), 0).unwrap();
    let stream = post(&mut client);
    sent(&mut client);
    client.send_data(stream, &[0; 40_000], false);
    let lengths: Vec<_> = sent(&mut client).iter().map(|frame| frame.payload.len()).collect();
    assert_eq!(lengths, [16_384, 16_384, 40_000 - 2 * 16_384]);
    receive(&mut client, &setting(id::MAX_FRAME_SIZE, 30_000), 0).unwrap();
    sent(&mut client);
    client.send_data(stream, &[0; 40_000], false);
    let lengths: Vec<_> = sent(&mut client).iter().map(|frame| frame.payload.len()).collect();
    assert_eq!(lengths, [30_000, 10_000]);
}

#[test]
fn pings_are_answered_by_pongs() {
    let mut client = client();
    client.ping();
    let ping = sent(&mut client).remove(0);
    assert_eq!((ping.kind, ping.flags), (kind::PING, 0));
    let answer = frame(kind::PING, 1, 0, &ping.payload);
    assert_eq!(receive(&mut client, &answer, 0), Ok(vec![Seen::Pong]));
    assert_eq!(receive(&mut client, &answer, 0), Ok(vec![]));
}

#[test]
fn a_forgotten_request_is_cancelled() {
    let mut client = client();
    let streams = [get(&mut client), post(&mut client)];
    receive(&mut client, &headers(3, WHOLE, OK), 0).unwrap();
    sent(&mut client);
    streams.into_iter().for_each(|stream| client.forget(stream));
    let codes: Vec<_> = sent(&mut client).iter().map(|f| (f.stream, f.number())).collect();
    assert_eq!(codes, [(1, ErrorCode::CANCEL.0), (3, ErrorCode::NO_ERROR.0)]);
    // What was under way is dropped.
    let input = [headers(1, HEADERS_END, OK), data(1, END, b"abc")].concat();
    assert_eq!(receive(&mut client, &input, 0), Ok(vec![]));
}
