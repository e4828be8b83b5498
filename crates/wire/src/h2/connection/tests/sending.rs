//! What a server sends, and when: windows, the output's limit, turns, the end.

use super::raw::*;
use super::*;
use crate::h2::frame::{flag, kind};
use crate::h2::settings::id;
use crate::h2::{ErrorCode, OUTPUT_LIMIT, StreamId};

/// A server with these streams, whose requests are complete, without limits by windows.
fn server(ids: &[u32]) -> Connection {
    let mut server = opened(config(Role::Server));
    let input = [setting(id::INITIAL_WINDOW_SIZE, 1 << 30), window_update(0, 1 << 30)];
    receive(&mut server, &input.concat(), 0).unwrap();
    for &id in ids {
        receive(&mut server, &headers(id, WHOLE, GET), 0).unwrap();
        let stream = name(&mut server, id);
        server.send_head(stream, false, |head| head.status(200));
    }
    sent(&mut server);
    server
}

/// Lets streams with endless bodies send; returns the order in which they fill the output.
fn order(server: &mut Connection, streams: &[StreamId], rounds: usize) -> Vec<u32> {
    let mut order = Vec::new();
    let mut ready = streams.to_vec();
    for _ in 0..rounds {
        for stream in std::mem::take(&mut ready) {
            loop {
                let room = server.room(stream);
                if room == 0 {
                    break;
                }
                server.send_data(stream, &vec![0; room], false);
                order.push(stream.id);
            }
        }
        assert!(server.output().len() < OUTPUT_LIMIT + 1000);
        server.sent(server.output().len());
        ready = std::iter::from_fn(|| server.poll_writable()).collect();
    }
    order.dedup();
    order
}

#[test]
fn streams_take_turns() {
    let mut server = server(&[1, 3, 5]);
    let streams = [1, 3, 5].map(|id| name(&mut server, id));
    let order = order(&mut server, &streams, 6);
    assert_eq!(order[..10], [1, 3, 5, 1, 3, 5, 1, 3, 5, 1]);
}

/// None takes what the other was told it can have.
#[test]
fn two_share() {
    let mut server = server(&[1, 3]);
    let streams = [1, 3].map(|id| name(&mut server, id));
    let order = order(&mut server, &streams, 6);
    assert_eq!(order[..9], [1, 3, 1, 3, 1, 3, 1, 3, 1]);
}

/// A stream that comes after another one has nothing of the output while that one can fill it.
#[test]
fn the_less_urgent_has_no_turn_meanwhile() {
    let mut server = server(&[1, 3, 5]);
    let streams = [1, 3, 5].map(|id| name(&mut server, id));
    server.set_priority(streams[0], b"u=5");
    server.set_priority(streams[1], b"u=1, i");
    let room = server.room(streams[0]);
    server.send_data(streams[0], &vec![0; room], false);
    streams.iter().for_each(|&stream| assert_eq!(server.room(stream), 0));
    server.sent(server.output().len());
    let told: Vec<u32> =
        std::iter::from_fn(|| server.poll_writable()).map(|told| told.id).collect();
    assert_eq!(told, [3]);
    assert_eq!(server.room(streams[1]), OUTPUT_LIMIT);
    // It has nothing to send, and says so by its silence: the next question is for the next one.
    assert_eq!(server.poll_writable().map(|told| told.id), Some(5));
}

#[test]
fn a_priority_comes_first() {
    let mut server = server(&[1, 3, 5, 7]);
    let streams = [1, 3, 5, 7].map(|id| name(&mut server, id));
    server.set_priority(streams[0], b"u=4");
    server.set_priority(streams[1], b"u=2");
    server.set_priority(streams[2], b"u=2");
    let filled = order(&mut server, &streams, 4);
    assert_eq!(filled, [1, 3], "before the others have asked, and then as a whole");
    let update = frame(kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x07u=0");
    receive(&mut server, &update, 0).unwrap();
    let ready: Vec<_> = std::iter::from_fn(|| server.poll_writable()).collect();
    assert_eq!(ready[0].id, 7);
}

#[test]
fn a_priority_may_come_before_its_stream() {
    let mut server = server(&[]);
    let update = |payload: &[u8]| frame(kind::PRIORITY_UPDATE, 0, 0, payload);
    let input = [update(b"\0\0\0\x01u=0, i"), update(b"\0\0\0\x01u=6")].concat();
    receive(&mut server, &input, 0).unwrap();
    receive(&mut server, &headers(1, WHOLE, GET), 0).unwrap();
    let stream = name(&mut server, 1);
    assert_eq!(server.streams[stream.slot].priority, Priority::parse(b"u=6"));
    assert_eq!(server.early, []);
    for id in 0..100u32 {
        receive(&mut server, &update(&(2 * id + 3).to_be_bytes()), 0).unwrap();
    }
    assert_eq!(server.early.len(), limits::EARLY_PRIORITIES);
}

#[test]
fn one_that_lets_its_turn_pass_holds_up_nobody() {
    let mut server = server(&[1, 3, 5, 7, 9]);
    let streams = [1, 3, 5, 7, 9].map(|id| name(&mut server, id));
    let room = server.room(streams[0]);
    server.send_data(streams[0], &vec![0; room], false);
    streams[1..].iter().for_each(|&stream| assert_eq!(server.room(stream), 0));
    server.sent(server.output().len());
    let mut told = Vec::new();
    for _ in 0..4 {
        told.extend(std::iter::from_fn(|| server.poll_writable()).map(|stream| stream.id));
    }
    assert_eq!(told, [3, 5, 7, 9]);
}

#[test]
fn output_is_limited() {
    let mut server = server(&[1]);
    let stream = name(&mut server, 1);
    let room = server.room(stream);
    assert_eq!(room, OUTPUT_LIMIT);
    server.send_data(stream, &vec![0; room], false);
    assert_eq!((server.room(stream), server.poll_writable()), (0, None));
    server.sent(OUTPUT_LIMIT / 4);
    assert_eq!(server.poll_writable(), None, "small frames are not worth it");
    server.sent(OUTPUT_LIMIT / 2);
    assert_eq!(server.poll_writable(), Some(stream));
    assert!(server.room(stream) > OUTPUT_LIMIT / 2);
}

#[test]
fn a_tiny_window_is_used() {
    let mut server = opened(config(Role::Server));
    receive(&mut server, &setting(id::INITIAL_WINDOW_SIZE, 1), 0).unwrap();
    receive(&mut server, &headers(1, WHOLE, GET), 0).unwrap();
    let stream = name(&mut server, 1);
    server.send_head(stream, false, |head| head.status(200));
    assert_eq!(server.room(stream), 1);
    server.send_data(stream, b"a", false);
    assert_eq!(server.room(stream), 0);
    receive(&mut server, &setting(id::INITIAL_WINDOW_SIZE, 3), 0).unwrap();
    assert_eq!(server.poll_writable(), Some(stream));
    assert_eq!(server.room(stream), 2);
}

#[test]
fn a_long_head_continues() {
    let mut server = server(&[]);
    receive(&mut server, &headers(1, WHOLE, GET), 0).unwrap();
    let stream = name(&mut server, 1);
    server.send_head(stream, true, |head| {
        head.status(200);
        head.sensitive(b"long", &[b'~'; 40_000]);
    });
    let frames = sent(&mut server);
    let kinds: Vec<_> = frames.iter().map(|frame| (frame.kind, frame.flags)).collect();
    let last = flag::END_HEADERS;
    assert_eq!(kinds[0], (kind::HEADERS, flag::END_STREAM));
    assert_eq!(
        kinds[1..],
        [(kind::CONTINUATION, 0), (kind::CONTINUATION, 0), (kind::CONTINUATION, last)]
            [3 - (kinds.len() - 1)..]
    );
    assert!(kinds.len() > 2);
}

#[test]
fn nothing_is_sent_on_a_stream_that_is_over() {
    let mut server = server(&[1, 3]);
    let (first, second) = (name(&mut server, 1), name(&mut server, 3));
    receive(&mut server, &reset(1, ErrorCode::CANCEL), 0).unwrap();
    server.forget(second);
    sent(&mut server);
    for stream in [first, second] {
        server.send_head(stream, true, |head| head.status(200));
        assert_eq!(server.room(stream), 0);
        server.send_data(stream, b"abc", true);
        server.release(stream, 100);
        server.set_stream_window(stream, 1 << 30);
        server.set_priority(stream, b"u=1");
    }
    server.forget(first);
    assert_eq!(sent(&mut server), []);
    assert_eq!(server.poll_writable(), None);
}

#[test]
fn windows_are_granted_as_bodies_are_read() {
    let mut server = opened(config(Role::Server));
    let body: Vec<_> = (0..4).map(|_| data(1, 0, &[0; 10_000])).collect();
    receive(&mut server, &[headers(1, HEADERS_END, GET), body.concat()].concat(), 0).unwrap();
    let stream = name(&mut server, 1);
    assert_eq!(sent(&mut server), []);
    server.release(stream, 20_000);
    assert_eq!(sent(&mut server), []);
    server.release(stream, 20_000);
    let updates: Vec<_> = sent(&mut server).iter().map(|f| (f.stream, f.number())).collect();
    assert_eq!(updates, [(1, 40_000)]);
    server.set_stream_window(stream, 1_000_000);
    let updates: Vec<_> = sent(&mut server).iter().map(|f| (f.stream, f.number())).collect();
    assert_eq!(updates, [(1, 1_000_000 - 65_535)]);
}

#[test]
fn what_nobody_reads_is_given_back_to_the_connection() {
    let mut config = config(Role::Server);
    config.connection_window = 65_535;
    let mut server = opened(config);
    let body: Vec<_> = (0..4).map(|_| data(1, 0, &[0; 10_000])).collect();
    receive(&mut server, &[headers(1, HEADERS_END, GET), body.concat()].concat(), 0).unwrap();
    let stream = name(&mut server, 1);
    server.forget(stream);
    let frames = sent(&mut server);
    assert_eq!((frames[0].kind, frames[1].kind), (kind::RST_STREAM, kind::WINDOW_UPDATE));
    assert_eq!((frames[1].stream, frames[1].number()), (0, 40_000));
    receive(&mut server, &body.concat(), 0).unwrap();
    assert_eq!(sent(&mut server).iter().map(Sent::number).sum::<u32>(), 40_000);
    // Padding is given back at once, too.
    let padded = data(3, flag::PADDED, &[[255].as_slice(), &[0; 255]].concat());
    receive(&mut server, &headers(3, HEADERS_END, GET), 0).unwrap();
    (0..900).for_each(|_| assert!(receive(&mut server, &padded, 0).is_ok()));
}

/// A body may come before the client knows how small its window is: it is to come again.
#[test]
fn a_small_window_refuses_bodies_until_it_is_acknowledged() {
    let mut config = config(Role::Server);
    config.stream_window = 1000;
    let mut server = Connection::new(config);
    let get = headers(3, WHOLE, GET);
    let early = [opening(Role::Client), headers(1, HEADERS_END, GET), data(1, 0, &[0; 2000]), get];
    assert_eq!(receive(&mut server, &early.concat(), 0), Ok(vec![Seen::Head(3, true)]));
    let refusal = sent(&mut server).into_iter().find(|frame| frame.kind == kind::RST_STREAM);
    let refusal = refusal.unwrap();
    assert_eq!((refusal.stream, refusal.number()), (1, ErrorCode::REFUSED_STREAM.0));
    let rest = [frame(kind::SETTINGS, flag::ACK, 0, b""), headers(5, HEADERS_END, GET)].concat();
    assert_eq!(receive(&mut server, &rest, 0), Ok(vec![Seen::Head(5, false)]));
    let exceeded = Ok(vec![Seen::Reset(5, ErrorCode::FLOW_CONTROL_ERROR, false)]);
    assert_eq!(receive(&mut server, &data(5, 0, &[0; 1001]), 0), exceeded);
}

/// A head that takes too long ends its stream; its rest is decoded for the tables.
#[test]
fn a_late_head_ends_its_stream() {
    // The field goes into the table.
    let block = [GET, b"\x40\x01a\x01b"].concat();
    let whole = headers(3, WHOLE, &block);
    let begun = headers(3, END, &block[..4]);
    let rest = frame(kind::CONTINUATION, HEADERS_END, 3, &block[4..]);
    let mut pieces: Vec<_> =
        (9..whole.len()).map(|at| (whole[..at].to_vec(), whole[at..].to_vec())).collect();
    pieces.push((begun.clone(), rest.clone()));
    pieces.push(([&begun, &rest[..3]].concat(), rest[3..].to_vec()));
    for (before, after) in pieces {
        let mut server = server(&[1]);
        assert!(!server.reset_late_head(), "there is none");
        receive(&mut server, &before, 0).unwrap();
        assert!(server.holds_part_of_head());
        assert!(server.reset_late_head());
        assert!(server.holds_part() && !server.holds_part_of_head());
        let reset = sent(&mut server).remove(0);
        assert_eq!((reset.kind, reset.stream), (kind::RST_STREAM, 3));
        assert_eq!(reset.number(), ErrorCode::PROTOCOL_ERROR.0);
        assert!(!server.reset_late_head(), "once");
        let body = [after, data(3, 0, b"abc"), headers(5, WHOLE, b"\x82\x86\x84\xbe")].concat();
        assert_eq!(receive(&mut server, &body, 0), Ok(vec![Seen::Head(5, true)]));
        assert_eq!(server.fields().get(b"a"), Some(&b"b"[..]));
        assert!(!server.holds_part());
        receive(&mut server, &headers(7, END, GET), 0).unwrap();
        assert!(server.holds_part_of_head(), "the next one is waited for again");
    }
}

/// Of streams that exist, and of other frames, only the connection can be ended.
#[test]
fn other_late_frames_end_no_stream() {
    let trailers = headers(1, END, TRAILERS);
    for part in [&ping(0)[..12], &trailers, &trailers[..12], &headers(2, WHOLE, GET)[..10], b"\0"] {
        let mut server = opened(config(Role::Server));
        receive(&mut server, &headers(1, HEADERS_END, GET), 0).unwrap();
        receive(&mut server, part, 0).unwrap();
        assert!(server.holds_part_of_head() && !server.reset_late_head());
    }
}

#[test]
fn the_end_is_announced_in_two_steps() {
    let mut server = server(&[1]);
    server.shut_down();
    let frames = sent(&mut server);
    assert_eq!((frames[0].kind, frames[0].number()), (kind::GOAWAY, 0x7fff_ffff));
    assert_eq!(frames[1].kind, kind::PING);
    // Requests that were under way are accepted.
    assert_eq!(receive(&mut server, &headers(3, WHOLE, GET), 0), Ok(vec![Seen::Head(3, true)]));
    let answer = frame(kind::PING, flag::ACK, 0, &frames[1].payload);
    receive(&mut server, &answer, 0).unwrap();
    let last = sent(&mut server).remove(0);
    assert_eq!((last.kind, last.number()), (kind::GOAWAY, 3));
    // Later ones are dropped, their heads decoded.
    let late = [headers(5, HEADERS_END, GET), data(5, 0, b"abc"), headers(5, WHOLE, TRAILERS)];
    assert_eq!(receive(&mut server, &late.concat(), 0), Ok(vec![]));
    assert_eq!(sent(&mut server), []);
    finish(&mut server, 1);
    assert!(!server.is_over());
    finish(&mut server, 3);
    assert!(server.is_over());
    server.shut_down();
    assert_eq!(sent(&mut server).iter().filter(|frame| frame.kind == kind::GOAWAY).count(), 0);
}

#[test]
fn the_second_call_hastens_the_end() {
    let mut server = server(&[1]);
    server.shut_down();
    server.shut_down();
    let goaways: Vec<_> =
        sent(&mut server).iter().filter(|f| f.kind == kind::GOAWAY).map(Sent::number).collect();
    assert_eq!(goaways, [0x7fff_ffff, 1]);
    server.abort(ErrorCode::INTERNAL_ERROR);
    assert!(server.is_over());
    assert_eq!(receive(&mut server, &headers(3, WHOLE, GET), 0), Ok(vec![]));
}

/// The tree of RFC 7540: what a client says orders bodies, until it says something newer.
#[test]
fn dependencies_come_first() {
    let mut server = server(&[1, 3, 5, 7]);
    let streams = [1, 3, 5, 7].map(|id| name(&mut server, id));
    let input = [priority(7, 0, 31), priority(1, 7, 255), priority(3, 1, 255), priority(5, 3, 15)];
    receive(&mut server, &input.concat(), 0).unwrap();
    // The first one fills the output before others wait.
    assert_eq!(order(&mut server, &streams, 12), [1, 7]);
    server.forget(streams[3]);
    assert_eq!(order(&mut server, &streams[..3], 12), [1]);
    // Below those that came after it, and two share.
    receive(&mut server, &[priority(1, 5, 15), priority(3, 0, 15), priority(5, 0, 15)].concat(), 0)
        .unwrap();
    let found = order(&mut server, &streams[..3], 13);
    assert!(found.ends_with(&[3, 5, 3, 5]) || found.ends_with(&[5, 3, 5, 3]), "{found:?}");
}

/// Whoever uses RFC 9218 is not bound by what it said before.
#[test]
fn urgencies_replace_dependencies() {
    for by_frame in [false, true] {
        let mut server = server(&[1, 3]);
        let streams = [1, 3].map(|id| name(&mut server, id));
        receive(&mut server, &priority(3, 1, 255), 0).unwrap();
        assert_eq!(order(&mut server, &streams, 6), [1]);
        if by_frame {
            let update = frame(kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x03u=0");
            receive(&mut server, &update, 0).unwrap();
        } else {
            server.set_priority(streams[1], b"u=0");
        }
        receive(&mut server, &priority(3, 1, 255), 0).unwrap();
        let found = order(&mut server, &[streams[1], streams[0]], 6);
        assert_eq!(found.last(), Some(&3));
    }
}

/// A head with a priority, which depends on a stream that is idle, as Firefox had its groups.
#[test]
fn heads_have_dependencies() {
    let mut server = server(&[]);
    let groups = [priority(3, 0, 200), priority(5, 0, 0)];
    receive(&mut server, &groups.concat(), 0).unwrap();
    for (id, on) in [(11, 5), (15, 3)] {
        let block = [&[0, 0, 0, on, 15][..], GET].concat();
        let head = headers(id, WHOLE | flag::PRIORITY, &block);
        // In two frames, the priority is in the first.
        let (first, rest) = block.split_at(7);
        let split = [
            headers(id + 2, END | flag::PRIORITY, first),
            frame(kind::CONTINUATION, HEADERS_END, id + 2, rest),
        ];
        receive(&mut server, &[head, split.concat()].concat(), 0).unwrap();
    }
    let streams = [11, 13, 15, 17].map(|id| name(&mut server, id));
    for stream in streams {
        server.send_head(stream, false, |head| head.status(200));
    }
    let found = order(&mut server, &streams, 30);
    let light = found.iter().filter(|id| matches!(id, 11 | 13)).count();
    assert!(light <= 3, "{found:?}");
    assert!(found.contains(&15) && found.contains(&17), "{found:?}");
}

/// Clients that do not use the priorities of RFC 7540 have none.
#[test]
fn a_setting_ends_dependencies() {
    let mut server = server(&[1, 3]);
    let streams = [1, 3].map(|id| name(&mut server, id));
    let setting = setting(id::NO_RFC7540_PRIORITIES, 1);
    receive(&mut server, &[priority(1, 3, 0), setting, priority(1, 3, 0)].concat(), 0).unwrap();
    assert_eq!(order(&mut server, &streams, 6)[..4], [1, 3, 1, 3]);
}

/// PRIORITY.
fn priority(stream: u32, on: u32, weight: u8) -> Vec<u8> {
    frame(kind::PRIORITY, 0, stream, &[&on.to_be_bytes()[..], &[weight]].concat())
}
