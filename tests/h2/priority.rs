//! Priorities of responses (RFC 9218).

use super::{content, server};
use crate::harness::{Frame, H2Client, frame_kind, is_nginx, request};

/// Two large responses that wait for the connection's window, then the order in which they came.
fn order(first: &str, second: &str, update: Option<(usize, &str)>) -> Vec<usize> {
    let server = server("location / { root %dir%; }").file("file", content(300_000)).start();
    let mut client = H2Client::connect(&server.address("port"), &[(4, 1_000_000)]);
    client.refills = false;
    // Fill the window of the connection.
    let filler = client.ask("/file");
    client.partly(filler, |answer| answer.body.len() >= 65_535);
    client.frame(&Frame::reset(filler, crate::harness::code::CANCEL));
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
