//! Hostile clients: each flood ends the connection or is bounded; busy honest ones are served.

use super::raw::*;
use super::*;
use crate::h2::frame::{flag, kind};
use crate::h2::settings::id;
use crate::h2::{ErrorCode, OUTPUT_LIMIT};

const CALM: ErrorCode = ErrorCode::ENHANCE_YOUR_CALM;

fn server() -> Connection {
    opened(config(Role::Server))
}

/// Sends the same at one moment until the server has had enough. Returns how often, and the
/// greatest number of unsent bytes.
fn flood(server: &mut Connection, input: &[u8]) -> (usize, usize) {
    let mut most = 0;
    for count in 0..1_000_000 {
        match receive(server, input, 0) {
            Ok(_) => {}
            Err(code) => {
                assert_eq!(code, CALM);
                return (count, most);
            }
        }
        most = most.max(server.output().len());
        sent(server);
    }
    panic!("the flood went on");
}

/// Requests that are reset at once, by the client and by its faults.
#[test]
fn rapid_resets() {
    let causes: [fn(u32) -> Vec<u8>; 5] = [
        |id| reset(id, ErrorCode::CANCEL),
        |id| window_update(id, 0),
        |id| window_update(id, 0x7fff_ffff),
        |id| headers(id, WHOLE, GET),
        |id| data(id, 0, b"a"),
    ];
    for cause in causes {
        let mut server = server();
        let mut resets = 0;
        for id in (1..).step_by(2) {
            let input = [headers(id, WHOLE, GET), cause(id)].concat();
            match receive(&mut server, &input, 0) {
                Err(code) => {
                    assert_eq!(code, CALM);
                    break;
                }
                Ok(seen) => assert_eq!(seen.len(), 2),
            }
            resets += 1;
            let stream = name(&mut server, id);
            server.forget(stream);
            sent(&mut server);
        }
        assert_eq!(resets, limits::RESETS);
    }
}

/// Streams that are reset but whose work goes on take their places.
#[test]
fn resets_do_not_make_room_while_the_work_goes_on() {
    let mut server = server();
    let mut heads = 0;
    for id in (1..200).step_by(2) {
        let input = [headers(id, WHOLE, GET), reset(id, ErrorCode::CANCEL)].concat();
        let seen = receive(&mut server, &input, 0).unwrap();
        heads += seen.iter().filter(|seen| matches!(seen, Seen::Head(..))).count();
    }
    assert_eq!(heads, 8 * limits::PLACES_PER_STREAM);
    assert_eq!(server.streams(), heads);
}

#[test]
fn refused_streams() {
    let mut server = server();
    let ids = (0..100_000).map(|i| 2 * i + 1);
    let mut results = ids.map(|id| receive(&mut server, &headers(id, WHOLE, GET), 0));
    let refused = results.position(|result| result == Err(CALM)).unwrap();
    assert_eq!(refused, 8 + limits::RESETS as usize);
}

/// Frames without use: how many a client may send at once, and the output that each costs.
#[test]
fn useless_frames() {
    let most = limits::OVERHEAD as usize;
    let cases = [
        ("PING", ping(0), most, 17),
        ("PING acknowledgements", ping(flag::ACK), most, 0),
        ("SETTINGS", setting(id::INITIAL_WINDOW_SIZE, 9), most / 10, 9),
        ("SETTINGS acknowledgements", frame(kind::SETTINGS, flag::ACK, 0, b""), most, 0),
        ("PRIORITY", frame(kind::PRIORITY, 0, 1, &[0; 5]), most / 5, 0),
        ("PRIORITY_UPDATE", frame(kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x07u=1"), most, 0),
        ("unknown frames", frame(0xee, 0, 0, b""), most, 0),
        ("GOAWAY", frame(kind::GOAWAY, 0, 0, &[0; 8]), most, 0),
        ("empty DATA", data(1, 0, b""), most / 10, 0),
        ("padding", data(1, flag::PADDED, b"\x01\0"), most / 10, 0),
        ("increments of the connection", window_update(0, 1), most, 0),
        ("increments of a stream", window_update(1, 1), most, 0),
    ];
    for (name, input, count, output) in cases {
        let mut server = server();
        receive(&mut server, &headers(1, HEADERS_END, GET), 0).unwrap();
        let (frames, unsent) = flood(&mut server, &input);
        // Opening the stream has earned nothing, since nothing was spent.
        assert_eq!((frames, unsent), (count, output), "{name}");
    }
}

/// A client that never reads makes the server stop reading.
#[test]
fn replies_that_are_not_read() {
    let mut server = server();
    let input = ping(0).repeat(10);
    let mut now = 0;
    while server.takes_input() {
        receive(&mut server, &input, now).unwrap();
        now += 1000;
    }
    assert!(server.output().len() <= limits::OUTPUT_TOTAL + 10 * 17);
}

#[test]
fn time_forgives() {
    let mut server = server();
    for second in 0..100 {
        let input = ping(0).repeat(limits::OVERHEAD_PER_SECOND as usize);
        receive(&mut server, &input, second * 1000).unwrap();
        sent(&mut server);
    }
}

#[test]
fn endless_heads() {
    let continuation = |bytes: &[u8]| frame(kind::CONTINUATION, 0, 1, bytes);
    for (bytes, count) in [(&b""[..], limits::CONTINUATIONS as usize), (&[0x82; 16_384], 1)] {
        let mut server = server();
        receive(&mut server, &headers(1, END, GET), 0).unwrap();
        let (frames, _) = flood(&mut server, &continuation(bytes));
        assert!(frames <= count + 1, "{frames}");
        assert!(server.block.capacity() <= 64 << 10);
    }
}

/// Fields of one byte each that stand for many.
#[test]
fn a_bomb_of_indexed_fields() {
    let mut server = server();
    // A field of 4,000 bytes goes into the table, and is then named again and again.
    let field = [&b"\x40\x01a\x7f\xa1\x1e"[..], &[b'b'; 4000]].concat();
    receive(&mut server, &headers(1, HEADERS_END, &[GET, &field].concat()), 0).unwrap();
    finish(&mut server, 1);
    let block = [GET, &[0xbf; 10_000]].concat();
    assert_eq!(receive(&mut server, &headers(3, WHOLE, &block), 0), Err(CALM));
}

#[test]
fn too_many_fields() {
    let mut server = server();
    let block = [GET, &[0x90; 1000]].concat();
    receive(&mut server, &headers(1, WHOLE, &block), 0).unwrap();
    assert!(server.fields().overflow().is_some());
    assert_eq!(server.fields().entries().len(), 100);
    finish(&mut server, 1);
    let mut heads = 1;
    for id in (3..).step_by(2) {
        match receive(&mut server, &headers(id, WHOLE, &block), 0) {
            Ok(_) => finish(&mut server, id),
            Err(code) => {
                assert_eq!(code, CALM);
                break;
            }
        }
        sent(&mut server);
        heads += 1;
    }
    // Each earns 1 besides.
    assert!((100..=102).contains(&heads), "{heads}");
}

/// Windows of one byte make the server send eleven for each.
#[test]
fn drops_of_window() {
    let mut server = server();
    receive(&mut server, &setting(id::INITIAL_WINDOW_SIZE, 1), 0).unwrap();
    receive(&mut server, &headers(1, WHOLE, GET), 0).unwrap();
    let stream = name(&mut server, 1);
    server.send_head(stream, false, |head| head.status(200));
    let mut count = 0;
    loop {
        let room = server.room(stream);
        server.send_data(stream, &vec![0; room], false);
        server.room(stream);
        sent(&mut server);
        if let Err(code) = receive(&mut server, &window_update(1, 1), 0) {
            break assert_eq!(code, CALM);
        }
        assert_eq!(server.poll_writable(), Some(stream));
        count += 1;
        assert!(count < 2000);
    }
}

/// A client that opens no window holds no more than the output's limit, and what it has asked for.
#[test]
fn stalled_readers() {
    let mut server = server();
    for id in [1, 3, 5, 7] {
        receive(&mut server, &headers(id, WHOLE, GET), 0).unwrap();
        let stream = name(&mut server, id);
        server.send_head(stream, false, |head| head.status(200));
        let room = server.room(stream);
        server.send_data(stream, &vec![0; room], false);
        assert_eq!(server.room(stream), 0);
    }
    assert!(server.output().len() < OUTPUT_LIMIT + 1000);
}

/// Bodies that nobody wants cost their sender the most.
#[test]
fn bodies_for_nobody() {
    let mut server = server();
    receive(&mut server, &headers(1, HEADERS_END, GET), 0).unwrap();
    let stream = name(&mut server, 1);
    server.forget(stream);
    for _ in 0..50_000 {
        receive(&mut server, &data(1, 0, &[0; 2048]), 0).unwrap();
        sent(&mut server);
    }
    let (frames, _) = flood(&mut server, &data(1, 0, b"a"));
    assert_eq!(frames, limits::OVERHEAD as usize);
}

/// 100,000 requests in rounds of as many as are allowed, at one moment.
#[test]
fn a_busy_client() {
    let mut server = server();
    let mut ids = (1..).step_by(2);
    for _ in 0..100_000 / 8 {
        let ids: Vec<u32> = ids.by_ref().take(8).collect();
        let input: Vec<_> = ids.iter().map(|&id| headers(id, WHOLE, GET)).collect();
        assert_eq!(receive(&mut server, &input.concat(), 0).unwrap().len(), 8);
        ids.iter().for_each(|&id| finish(&mut server, id));
        sent(&mut server);
        receive(&mut server, &window_update(0, 1), 0).unwrap();
    }
}

/// A browser that leaves a page every second, and one that cancels every other image.
#[test]
fn a_restless_browser() {
    let mut server = server();
    let mut id = 1;
    for second in 0..1000 {
        for kind in 0..60 {
            receive(&mut server, &headers(id, WHOLE, GET), second * 1000).unwrap();
            if kind % 2 == 0 {
                receive(&mut server, &reset(id, ErrorCode::CANCEL), second * 1000).unwrap();
                let stream = name(&mut server, id);
                server.forget(stream);
            } else {
                finish(&mut server, id);
            }
            sent(&mut server);
            id += 2;
        }
    }
}

/// Tiny messages in both directions, with a PING after each, at one moment.
#[test]
fn a_chatty_stream() {
    let mut server = server();
    receive(&mut server, &headers(1, HEADERS_END, GET), 0).unwrap();
    let stream = name(&mut server, 1);
    server.send_head(stream, false, |head| head.status(200));
    for _ in 0..100_000 {
        receive(&mut server, &[data(1, 0, b"12345"), ping(0)].concat(), 0).unwrap();
        server.release(stream, 5);
        assert!(server.room(stream) > 5);
        server.send_data(stream, b"12345", false);
        sent(&mut server);
        if server.streams[stream.slot].send.available() < 1000 {
            let input = [window_update(1, 60_000), window_update(0, 60_000)].concat();
            receive(&mut server, &input, 0).unwrap();
        }
    }
}

/// A download whose reader grants each piece of 4 KiB, on the stream and on the connection.
#[test]
fn a_reader_of_small_pieces() {
    let mut server = server();
    receive(&mut server, &headers(1, WHOLE, GET), 0).unwrap();
    let stream = name(&mut server, 1);
    server.send_head(stream, false, |head| head.status(200));
    let mut granted = 0;
    for _ in 0..20_000 {
        let room = server.room(stream).min(16_384);
        server.send_data(stream, &vec![0; room], false);
        granted += room;
        sent(&mut server);
        while granted >= 4096 {
            granted -= 4096;
            let input = [window_update(1, 4096), window_update(0, 4096)].concat();
            receive(&mut server, &input, 0).unwrap();
        }
        while server.poll_writable().is_some() {}
    }
}
