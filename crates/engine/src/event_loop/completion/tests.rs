use crate::addr::Addr;
use crate::connection::Conn;
use crate::event_loop::{EventLoop, Method, spawn_joined, yield_now};
use crate::listen::accept;
use crate::park::{Left, Lot};
use crate::timer::{self, timeout};
use crate::{buffer, clock};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use weir_sys::ring::{BUFFER_SIZE, Interest, Patience, Ring};

const SOON: Duration = Duration::from_secs(5);

/// Runs a test with io_uring, or prints that it is unavailable.
fn by_ring(test: impl Future<Output = ()>) {
    match EventLoop::new(Method::IoUring) {
        Ok(event_loop) => event_loop.block_on(test),
        Err(error) => crate::skipped::skipped(&format!("there is no io_uring: {error}")),
    }
}

/// Both ends of a TCP connection, ours first.
fn pair() -> (Conn, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    theirs.set_nodelay(true).unwrap();
    let (ours, peer) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Conn::from_fd(ours.into(), Addr::Inet(peer)), theirs)
}

/// Makes the kernel receive: the connection has waited once and then done something else.
async fn has_waited(conn: &mut Conn) {
    let mut none = Vec::new();
    let wait = poll_fn(|cx| conn.poll_recv(cx, &mut none, 9));
    assert!(timeout(Duration::from_millis(1), wait).await.is_err());
    yield_now().await;
}

/// Waits for an event.
async fn heard(conn: &mut Conn) {
    conn.readable(SOON).await.unwrap();
}

/// A killed process's ring waits for connections until the kernel has ended it.
#[test]
fn a_ring_that_nobody_enters_any_more_takes_no_connection() {
    by_ring(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = Arc::new(OwnedFd::from(listener));
        let mut dead = Ring::new().unwrap();
        assert!(dead.poll(listener.as_raw_fd(), Interest::ACCEPT, 1));
        dead.enter(Patience::None).unwrap();
        let accepted = Rc::new(Cell::new(0));
        let count = Rc::clone(&accepted);
        let _accepting = accept(listener, false, move |_| count.set(count.get() + 1)).unwrap();
        // The poll is submitted at the end of a turn.
        timer::sleep(Duration::from_millis(1)).await;
        let _client = TcpStream::connect(address).unwrap();
        let come = async {
            while accepted.get() == 0 {
                timer::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(timeout(SOON, come).await.is_ok(), "the dead ring was woken alone");
    });
}

#[test]
fn data_received_early_is_read_first_and_in_pieces() {
    by_ring(async {
        let (mut conn, mut other) = pair();
        has_waited(&mut conn).await;
        other.write_all(b"GET / HTTP/1.1").unwrap();
        heard(&mut conn).await;
        other.write_all(b" and more").unwrap();
        assert!(!conn.is_idle_alive() && !conn.is_closed());
        let first = poll_fn(|cx| conn.poll_first_byte(cx)).await.unwrap();
        assert_eq!(first, Some(b'G'));
        let mut got = Vec::new();
        while got.len() < 23 {
            assert_ne!(conn.recv(&mut got, 5, SOON).await.unwrap(), 0);
        }
        assert_eq!(got, b"GET / HTTP/1.1 and more");
        assert!(conn.is_idle_alive());
    });
}

#[test]
fn a_full_buffer_is_followed_by_more() {
    by_ring(async {
        let (mut conn, mut other) = pair();
        has_waited(&mut conn).await;
        let all: Vec<u8> = (0..BUFFER_SIZE * 5).map(|at| (at % 251) as u8).collect();
        other.write_all(&all).unwrap();
        drop(other);
        let mut got = buffer::take(all.len());
        let large = poll_fn(|cx| conn.poll_fill(cx, &mut got, BUFFER_SIZE * 4)).await.unwrap();
        assert!(large > BUFFER_SIZE, "{large}");
        while conn.recv(&mut got, 1000, SOON).await.unwrap() > 0 {}
        assert!(got[..] == all[..]);
        assert!(conn.is_closed() && !conn.is_idle_alive());
        assert_eq!(conn.recv(&mut got, 1000, SOON).await.unwrap(), 0);
    });
}

#[test]
fn an_end_and_a_reset_are_seen_without_a_read() {
    by_ring(async {
        let (mut conn, other) = pair();
        has_waited(&mut conn).await;
        assert!(conn.is_idle_alive() && !conn.is_closed());
        drop(other);
        heard(&mut conn).await;
        assert!(conn.is_closed() && !conn.is_idle_alive());
        assert_eq!(poll_fn(|cx| conn.poll_first_byte(cx)).await.unwrap(), None);
        for _ in 0..2 {
            assert_eq!(conn.recv(&mut Vec::new(), 9, SOON).await.unwrap(), 0);
        }

        let (mut conn, other) = pair();
        has_waited(&mut conn).await;
        rustix::net::sockopt::set_socket_linger(&other, Some(Duration::ZERO)).unwrap();
        drop(other);
        heard(&mut conn).await;
        assert!(conn.is_closed() && !conn.is_idle_alive());
        let error = conn.recv(&mut Vec::new(), 9, SOON).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_dropped_connection_is_closed_during_a_receive() {
    by_ring(async {
        for speaks in [false, true] {
            let (mut conn, mut other) = pair();
            has_waited(&mut conn).await;
            if speaks {
                other.write_all(b"nobody reads this").unwrap();
                heard(&mut conn).await;
            }
            drop(conn);
            // Cancellations are submitted at the end of the turn.
            let end = super::super::on_a_thread(move || other.read(&mut [0; 1]));
            assert_eq!(spawn_joined(end).await.unwrap().unwrap().unwrap(), 0, "{speaks}");
        }
    });
}

#[test]
fn buffers_are_returned_and_not_required() {
    by_ring(async {
        // More connections than buffers, each holding one.
        let mut all: Vec<(Conn, TcpStream)> = Vec::new();
        for _ in 0..200 {
            let mut one = pair();
            has_waited(&mut one.0).await;
            all.push(one);
        }
        for round in 0..3_u8 {
            for (_, other) in &mut all {
                other.write_all(&[b'a' + round; 100]).unwrap();
            }
            for (conn, _) in &mut all {
                heard(conn).await;
            }
            for (conn, _) in &mut all {
                let mut got = Vec::new();
                while got.len() < 100 {
                    conn.recv(&mut got, 1000, SOON).await.unwrap();
                }
                assert_eq!(got, [b'a' + round; 100]);
            }
        }
    });
}

#[test]
fn held_data_is_moved_as_well() {
    by_ring(async {
        let ((mut from, mut source), (mut to, mut sink)) = (pair(), pair());
        has_waited(&mut from).await;
        source.write_all(b"some bytes").unwrap();
        heard(&mut from).await;
        let mut got = Vec::new();
        while got.len() < 10 {
            let moved = poll_fn(|cx| from.poll_move(cx, &mut to, 4)).await.unwrap();
            assert_eq!((moved.received, moved.sent), (moved.rest.len(), 0));
            got.extend_from_slice(&moved.rest);
        }
        assert_eq!(got, b"some bytes");
        // From here on, data goes through the pipe.
        for _ in 0..3 {
            let wait = poll_fn(|cx| from.poll_move(cx, &mut to, 100));
            assert!(timeout(Duration::from_millis(1), wait).await.is_err());
            source.write_all(&[b'x'; 50]).unwrap();
            let moved = poll_fn(|cx| from.poll_move(cx, &mut to, 100)).await.unwrap();
            got.extend_from_slice(&moved.rest);
            if moved.sent > 0 {
                let mut sent = [0; 50];
                sink.read_exact(&mut sent[..moved.sent]).unwrap();
                got.extend_from_slice(&sent[..moved.sent]);
            }
        }
        assert_eq!(got[10..], [b'x'; 150]);
        drop(source);
        let end = poll_fn(|cx| from.poll_move(cx, &mut to, 100)).await.unwrap();
        assert_eq!(end.received, 0);
    });
}

#[test]
fn a_parked_connection_returns_with_its_data() {
    by_ring(async {
        let left = Rc::new(RefCell::new(Vec::new()));
        let taken = Rc::clone(&left);
        let lot = Lot::new(move |conn: Conn, number: u32, _, why| {
            taken.borrow_mut().push((conn, number, why));
        });
        let (mut conn, mut other) = pair();
        has_waited(&mut conn).await;
        let until = clock::now() + SOON;
        lot.park(conn, until, 7).map_err(|_| "it is idle").unwrap();
        other.write_all(b"hello").unwrap();
        let arrived = poll_fn(|cx| {
            cx.waker().wake_by_ref();
            left.borrow_mut().pop().map_or(Poll::Pending, Poll::Ready)
        });
        let (mut conn, number, why) = timeout(SOON, arrived).await.unwrap();
        assert_eq!((number, why), (7, Left::Woken));
        let mut got = Vec::new();
        assert_eq!(conn.recv(&mut got, 9, SOON).await.unwrap(), 5);
        assert_eq!(got, b"hello");
        other.write_all(b"again").unwrap();
        heard(&mut conn).await;
        // It has an event, so it is not idle.
        assert!(lot.park(conn, until, 8).is_err());
    });
}

#[test]
fn data_held_by_an_ended_loop_is_an_error() {
    let mut kept: Option<(Conn, TcpStream)> = None;
    by_ring(async {
        let (mut conn, mut other) = pair();
        has_waited(&mut conn).await;
        other.write_all(b"held").unwrap();
        heard(&mut conn).await;
        kept = Some((conn, other));
    });
    let Some((mut conn, _other)) = kept else { return };
    let lost = |outcome: io::Result<usize>| outcome.unwrap_err().kind();
    by_ring(async {
        let outcome = conn.recv(&mut Vec::new(), 9, SOON).await;
        assert_eq!(lost(outcome), ErrorKind::ConnectionAborted);
    });
}

#[test]
fn bytes_stay_in_order_on_every_path() {
    by_ring(async {
        let (mut conn, mut other) = pair();
        has_waited(&mut conn).await;
        let mut random = fastrand::Rng::with_seed(7);
        let (mut sent, mut got) = (Vec::new(), Vec::new());
        for round in 0..600 {
            // Runs of short messages, followed by some that fill buffers.
            let most = if round % 40 < 30 { 50 } else { 4 * BUFFER_SIZE };
            let message: Vec<u8> = (0..random.usize(1..most)).map(|_| random.u8(..)).collect();
            other.write_all(&message).unwrap();
            sent.extend_from_slice(&message);
            if random.bool() {
                // Data that arrives meanwhile is received early.
                for _ in 0..random.u8(..4) {
                    yield_now().await;
                }
            }
            if random.u8(..3) > 0 {
                while got.len() < sent.len() {
                    let most = random.usize(1..2 * BUFFER_SIZE);
                    assert_ne!(conn.recv(&mut got, most, SOON).await.unwrap(), 0);
                }
                assert!(got == sent);
            }
        }
        drop(other);
        while conn.recv(&mut got, 1000, SOON).await.unwrap() > 0 {}
        assert!(got == sent);
    });
}

#[test]
fn an_unread_connection_holds_few_buffers() {
    by_ring(async {
        let (mut conn, mut other) = pair();
        has_waited(&mut conn).await;
        let mut got = Vec::new();
        for _ in 0..10 {
            other.write_all(b"short").unwrap();
            conn.recv(&mut got, 9, SOON).await.unwrap();
        }
        for round in 0..100_u8 {
            other.write_all(&[round; 3]).unwrap();
            yield_now().await;
        }
        got.clear();
        // The first reads return held data, the others data left in the socket.
        while got.len() < 300 {
            assert_ne!(conn.recv(&mut got, 1000, SOON).await.unwrap(), 0);
        }
        let all: Vec<u8> = (0..100).flat_map(|round| [round; 3]).collect();
        assert_eq!(got, all);
    });
}

#[test]
fn events_are_in_order() {
    by_ring(async {
        let woken = Rc::new(RefCell::new(Vec::new()));
        let log = Rc::clone(&woken);
        let lot = Lot::new(move |_: Conn, number: u32, _, _| log.borrow_mut().push(number));
        let mut others = Vec::new();
        for number in 0..5 {
            let (conn, mut other) = pair();
            other.write_all(b"hello").unwrap();
            lot.park(conn, clock::now() + SOON, number).map_err(|_| "not known yet").unwrap();
            others.push(other);
        }
        while woken.borrow().len() < 5 {
            yield_now().await;
        }
        assert_eq!(*woken.borrow(), [0, 1, 2, 3, 4]);
    });
}

#[test]
fn the_state_of_an_idle_connection_is_small() {
    assert!(size_of::<super::Ask>() <= 48, "{}", size_of::<super::Ask>());
}
