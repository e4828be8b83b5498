//! Priorities of responses, by RFC 9218 and RFC 7540.

use super::{content, server};
use crate::harness::{Frame, H2Client, code, flag, frame_kind, is_nginx, literals, request};

/// Two large responses that wait for the connection's window, then the order in which they came.
fn order(first: &str, second: &str, update: Option<(usize, &str)>) -> Vec<usize> {
    let server = server("location / { root %dir%; }").file("file", content(300_000)).start();
    let mut client = H2Client::connect(&server.address("port"), &[(4, 1_000_000)]);
    client.refills = false;
    // Fill the window of the connection.
    let filler = client.ask("/file");
    client.partly(filler, |answer| answer.body.len() >= 65_535);
    client.frame(&Frame::reset(filler, code::CANCEL));
    let streams: Vec<u32> = [first, second]
        .iter()
        .map(|priority| {
            let lines =
                if priority.is_empty() { String::new() } else { format!("priority: {priority}") };
            client.open(&request("GET", "/file", &lines), true)
        })
        .collect();
    for stream in &streams {
        client.partly(*stream, |answer| answer.status != 0);
    }
    if let Some((which, value)) = update {
        let payload = [&streams[which].to_be_bytes()[..], value.as_bytes()].concat();
        client.frame(&Frame::new(frame_kind::PRIORITY_UPDATE, 0, 0, payload));
    }
    client.settle();
    client.frame(&Frame::window(0, 1_000_000));
    let mut ended: Vec<usize> = Vec::new();
    while ended.len() < 2 {
        client.step().expect("the responses");
        for (at, stream) in streams.iter().enumerate() {
            if client.so_far(*stream).complete && !ended.contains(&at) {
                assert!(client.so_far(*stream).body == content(300_000));
                ended.push(at);
            }
        }
    }
    ended
}

#[test]
fn urgent_responses_come_first() {
    if is_nginx() {
        // It does not know RFC 9218.
        return;
    }
    assert_eq!(order("u=5", "u=1", None), [1, 0]);
    assert_eq!(order("u=1", "u=5", None), [0, 1]);
    assert_eq!(order("", "u=0, i", None), [1, 0]);
}

#[test]
fn an_update_changes_the_order() {
    if is_nginx() {
        return;
    }
    assert_eq!(order("u=1", "u=2", Some((1, "u=0"))), [1, 0]);
}

#[test]
fn nonsense_is_ignored() {
    for priority in ["u=9", "u=-1", "u", "i=?2", "%%%", "u=1.5", "a=(1 2);b, u=2"] {
        assert_eq!(order(priority, "u=7", None).len(), 2);
    }
    // Of a stream that does not exist, and without a stream.
    let server = server("return 200 a;").start();
    let mut client = H2Client::of(&server);
    client.wait_settings();
    client.frame(&Frame::new(frame_kind::PRIORITY_UPDATE, 0, 0, [0, 0, 0, 9, b'u']));
    assert_eq!(client.get("/").status, 200);
}

/// PRIORITY of RFC 7540.
fn priority(stream: u32, on: u32, weight: u8) -> Frame {
    Frame::new(frame_kind::PRIORITY, 0, stream, [&on.to_be_bytes()[..], &[weight]].concat())
}

/// The order in which large responses to streams 3, 5 and so on end, with what `say` says of them
/// before they come, each perhaps with a priority in its head.
fn old_order(heads: &[Option<(u32, u8)>], say: impl Fn(&mut H2Client)) -> Vec<u32> {
    let server = server("location / { root %dir%; }").file("file", content(300_000)).start();
    let mut client = H2Client::connect(&server.address("port"), &[(4, 1_000_000)]);
    client.refills = false;
    let filler = client.ask("/file");
    client.partly(filler, |answer| answer.body.len() >= 65_535);
    client.frame(&Frame::reset(filler, code::CANCEL));
    say(&mut client);
    let block = literals(&request("GET", "/file", ""));
    let mut left = Vec::new();
    for head in heads {
        let stream = client.next_stream();
        let (flags, first) = match head {
            None => (0, Vec::new()),
            Some((on, weight)) => (0x20, [&on.to_be_bytes()[..], &[*weight]].concat()),
        };
        let flags = flags | flag::END_HEADERS | flag::END_STREAM;
        let payload = [first, block.clone()].concat();
        client.frame(&Frame::new(frame_kind::HEADERS, flags, stream, payload));
        left.push(stream);
    }
    for stream in &left {
        client.partly(*stream, |answer| answer.status != 0);
    }
    client.settle();
    client.frame(&Frame::window(0, 10_000_000));
    let mut ended = Vec::new();
    while !left.is_empty() {
        client.step().expect("the responses");
        left.retain(|stream| {
            let complete = client.so_far(*stream).complete;
            if complete {
                assert!(client.so_far(*stream).body == content(300_000));
                ended.push(*stream);
            }
            !complete
        });
    }
    ended
}

#[test]
fn dependencies_of_frames_come_first() {
    for (stream, on, order) in [(3, 5, [5, 3]), (5, 3, [3, 5])] {
        // An idle stream can be depended on once it has a place itself.
        let said = [priority(on, 0, 15), priority(stream, on, 0)];
        assert_eq!(old_order(&[None, None], |client| assert!(client.frames(&said))), order);
    }
}

#[test]
fn heads_say_dependencies_and_weights() {
    assert_eq!(old_order(&[Some((0, 0)), Some((0, 255))], |_| {}), [5, 3]);
    assert_eq!(old_order(&[Some((0, 255)), Some((0, 0))], |_| {}), [3, 5]);
    // Exclusive: 5 comes between the root and 3.
    assert_eq!(old_order(&[Some((0, 15)), Some((1 << 31, 0))], |_| {}), [5, 3]);
    // By groups, which are idle streams.
    let groups = |client: &mut H2Client| {
        client.frames(&[priority(101, 0, 0), priority(103, 0, 255)]);
    };
    assert_eq!(old_order(&[Some((101, 255)), Some((103, 0))], groups), [5, 3]);
}

#[test]
fn newer_priorities_replace_older_ones() {
    if is_nginx() {
        return;
    }
    let both = |client: &mut H2Client| {
        let update = [&5_u32.to_be_bytes()[..], b"u=7"].concat();
        client.frames(&[
            priority(5, 0, 15),
            priority(3, 5, 0),
            Frame::new(frame_kind::PRIORITY_UPDATE, 0, 0, update),
            priority(3, 5, 0),
        ]);
    };
    assert_eq!(old_order(&[None, None], both), [3, 5]);
    let setting = |client: &mut H2Client| {
        client.frames(&[Frame::settings(&[(9, 1)]), priority(5, 0, 255), priority(3, 5, 0)]);
    };
    // They take turns, so that the first one ends first.
    assert_eq!(old_order(&[None, None], setting), [3, 5]);
}
