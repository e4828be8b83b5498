use std::os::unix::net::UnixStream;
use std::rc::Rc;

use weir_engine::event_loop::{JoinHandle, block_on, spawn_joined};
use weir_engine::{Addr, timer};

use super::*;
use crate::link::crossing::Dialler;
use crate::link::frame::Class;
use crate::link::hello::{VERSIONS, Versions};
use crate::link::hub::Event;

fn pair() -> (Conn, Conn) {
    let (one, two) = UnixStream::pair().unwrap();
    let conn = |end: UnixStream| {
        end.set_nonblocking(true).unwrap();
        Conn::from_fd(end.into(), Addr::Unix(None))
    };
    (conn(one), conn(two))
}

fn hello(name: &str) -> Hello {
    Hello {
        versions: VERSIONS,
        weir: "0.1.0".to_owned(),
        name: name.to_owned(),
        pair: [1; 16],
        instance: 7,
        block: [0; 32],
    }
}

/// A node with one partner and a link to it.
struct Node {
    hub: Hub,
    session: JoinHandle<End>,
}

async fn node(name: &'static str, partner: &'static str, conn: Conn) -> Node {
    let hub = Hub::default();
    hub.add(partner);
    let greeted = greet(conn, &hello(name), partner).await.unwrap();
    let dialler = if name < partner { Dialler::Own } else { Dialler::Partner };
    let (number, _) = hub.admit(name, &greeted.hello, greeted.version, dialler).unwrap();
    let hub_too = hub.clone();
    let session = spawn_joined(async move {
        let status = || Status { generation: 5, ..Status::default() };
        run(&hub_too, partner, number, greeted, &status).await
    });
    Node { hub, session }
}

async fn two_nodes() -> (Node, Node) {
    let (one, two) = pair();
    let a = spawn_joined(node("a", "b", one));
    let b = node("b", "a", two).await;
    (a.await.unwrap(), b)
}

/// A link of node "a" whose partner is this test.
async fn against(conn: Conn, mut other: Conn) -> (Node, Conn) {
    let mut bytes = Vec::new();
    frame::put(&mut bytes, Kind::Hello, false, &hello("b").encode());
    other.send_all(&[&bytes], SILENCE).await.unwrap();
    (node("a", "b", conn).await, other)
}

async fn message(hub: &Hub) -> (Class, Vec<u8>) {
    loop {
        if let Event::Received { class, message, .. } = hub.event().await {
            return (class, message);
        }
    }
}

#[test]
fn messages_pass_in_both_directions_and_whole() {
    block_on(async {
        let (a, b) = two_nodes().await;
        // Messages are kept once somebody takes events.
        for hub in [&a.hub, &b.hub] {
            assert!(matches!(hub.event().await, Event::Connected { version: 1, .. }));
        }
        let large: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
        a.hub.send("b", Class::Config, large.clone()).unwrap();
        a.hub.send("b", Class::Counters, b"small".to_vec()).unwrap();
        b.hub.send("a", Class::State, b"back".to_vec()).unwrap();
        let first = message(&b.hub).await;
        assert_eq!(first, (Class::Counters, b"small".to_vec()), "it passes the large one");
        assert_eq!(message(&b.hub).await, (Class::Config, large));
        assert_eq!(message(&a.hub).await, (Class::State, b"back".to_vec()));
        let status = |hub: &Hub| hub.shown()[0].1.status.as_ref().map(|status| status.generation);
        while status(&a.hub).is_none() || status(&b.hub).is_none() {
            timer::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(status(&a.hub), Some(5));
        b.session.abort();
        assert!(matches!(a.session.await.unwrap(), End::Io(_)));
    });
}

#[test]
fn another_version_is_refused_by_name_on_both_sides() {
    block_on(async {
        let (one, two) = pair();
        let newer = Hello {
            versions: Versions { first: 2, last: 2 },
            weir: "0.3".to_owned(),
            ..hello("b")
        };
        let there = spawn_joined(async move { greet(two, &newer, "a").await.err() });
        let here = greet(one, &hello("a"), "b").await.err().unwrap().to_string();
        assert_eq!(
            here,
            "node \"b\" runs Weir 0.3, whose links speak version 2; this node runs Weir 0.1.0, whose \
             links speak version 1: upgrade the older one"
        );
        let there = there.await.unwrap().unwrap().to_string();
        assert_eq!(
            there,
            "node \"a\" runs Weir 0.1.0, whose links speak version 1; this node runs Weir 0.3, whose \
             links speak version 2: upgrade the older one"
        );
    });
}

#[test]
fn a_partner_that_hangs_is_disconnected() {
    block_on(async {
        let (one, two) = pair();
        let (a, _held) = against(one, two).await;
        assert!(matches!(a.session.await.unwrap(), End::Silent));
    });
}

#[test]
fn a_partner_that_never_reads_is_disconnected_and_its_queues_stay_bounded() {
    block_on(async {
        let (one, two) = pair();
        let (a, mut other) = against(one, two).await;
        // It does send its status.
        let alive = spawn_joined(async move {
            let mut bytes = Vec::new();
            frame::put(&mut bytes, Kind::Status, false, &Status::default().encode());
            while other.send_all(&[&bytes], SILENCE).await.is_ok() {
                timer::sleep(Duration::from_millis(100)).await;
            }
        });
        let mut refused = 0;
        for _ in 0..200 {
            match a.hub.send("b", Class::State, vec![0; 100_000]) {
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(error, crate::link::SendError::Full);
                    refused += 1;
                }
            }
        }
        assert!(refused > 100 && a.hub.shown()[0].1.waiting <= 8 * 1024 * 1024);
        assert!(matches!(a.session.await.unwrap(), End::Stuck));
        alive.await.unwrap();
    });
}

#[test]
fn a_partner_that_floods_is_slowed_down() {
    block_on(async {
        let (one, two) = pair();
        let (a, mut other) = against(one, two).await;
        let sent = Rc::new(std::cell::Cell::new(0_u64));
        let counted = Rc::clone(&sent);
        assert!(matches!(a.hub.event().await, Event::Connected { .. }));
        let _flood = spawn_joined(async move {
            let mut bytes = Vec::new();
            for _ in 0..100 {
                frame::put(&mut bytes, Kind::Message(Class::Counters), false, b"x");
            }
            while other.send_all(&[&bytes], SILENCE).await.is_ok() {
                counted.set(counted.get() + 100);
            }
        });
        let begun = clock::precise();
        let mut taken = 0;
        // The burst at the start, and some frames at the pace after it.
        while taken < 4000 {
            message(&a.hub).await;
            taken += 1;
        }
        let time = clock::precise() - begun;
        assert!(time >= Duration::from_millis(450), "4000 frames in {time:?}");
        // Beyond the socket's own buffer the partner could not send more than was taken.
        assert!(sent.get() < 4000 + 200_000, "{}", sent.get());
        assert!(a.hub.shown()[0].1.up, "it is slowed, not disconnected");
        a.session.abort();
    });
}

#[test]
fn bytes_that_are_no_frames_end_the_link() {
    block_on(async {
        for (bytes, text) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], "it has sent a frame of unknown kind 71"),
            (b"\x11\xff\xff\xff", "it has sent a frame of 16777215 bytes, 16384 are allowed"),
            (b"\x01\x00\x00\x00", "it has sent a frame out of turn"),
            (b"\x03\x00\x00\x02[]", "it has sent a frame out of turn"),
            (b"\x02\x00\x00\x03b\ny", "it said farewell: b y"),
        ] {
            let (one, two) = pair();
            let (a, mut other) = against(one, two).await;
            other.send_all(&[bytes], SILENCE).await.unwrap();
            assert_eq!(a.session.await.unwrap().to_string(), text);
        }
    });
}

#[test]
fn a_link_that_is_replaced_says_farewell() {
    block_on(async {
        for (instance, reason) in [(7, CROSSING), (8, REPLACED)] {
            let (one, two) = pair();
            let (a, mut other) = against(one, two).await;
            let newer = Hello { instance, ..hello("b") };
            a.hub.admit("a", &newer, 1, Dialler::Own).unwrap();
            assert!(matches!(a.session.await.unwrap(), End::Replaced));
            let mut decoder = Decoder::default();
            while other.recv(decoder.room(), RECEIVE, SILENCE).await.unwrap() > 0 {}
            let mut last = Vec::new();
            while let Some(frame) = decoder.take().unwrap() {
                last = frame.content.to_vec();
            }
            assert_eq!(last, reason);
            assert!(a.hub.shown()[0].1.up, "the new link is not touched");
        }
    });
}
