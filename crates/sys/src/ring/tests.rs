use super::*;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

/// A ring, if the system supports it; otherwise a notice is printed.
fn ring() -> Option<Ring> {
    let unavailable = |error: &io::Error| {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test");
        // Not by `eprintln`, which a test that passes shows nobody.
        let _ = writeln!(io::stderr(), "skipped: {test}: there is no io_uring: {error}");
    };
    Ring::new().inspect_err(unavailable).ok()
}

/// The completions after one call that waits.
fn wait(ring: &mut Ring) -> Vec<Completion> {
    let mut done = Vec::new();
    ring.enter(Patience::For(Duration::from_secs(10))).unwrap();
    ring.completions(&mut done);
    done
}

fn pair() -> (UnixStream, UnixStream) {
    let (one, two) = UnixStream::pair().unwrap();
    two.set_nonblocking(true).unwrap();
    (one, two)
}

#[test]
fn a_poll_is_answered_once() {
    let Some(mut ring) = ring() else { return };
    let (mut other, end) = pair();
    assert!(ring.poll(end.as_raw_fd(), Interest::READ, 7));
    ring.enter(Patience::For(Duration::from_millis(1))).unwrap();
    let mut done = Vec::new();
    ring.completions(&mut done);
    assert!(done.is_empty());
    other.write_all(b"a").unwrap();
    let done = wait(&mut ring);
    assert_eq!((done.len(), done[0].data, done[0].more), (1, 7, false));
    assert_eq!(done[0].result & i32::from(libc::POLLIN), i32::from(libc::POLLIN));
    assert!(ring.poll(end.as_raw_fd(), Interest::WRITE, 8));
    let done = wait(&mut ring);
    assert_eq!((done.len(), done[0].data), (1, 8));
    assert_eq!(done[0].result, i32::from(libc::POLLOUT));
}

#[test]
fn edges_are_told_one_by_one() {
    let Some(mut ring) = ring() else { return };
    let (mut other, end) = pair();
    assert!(ring.poll_edges(end.as_raw_fd(), 7));
    for _ in 0..3 {
        other.write_all(b"a").unwrap();
        let done = wait(&mut ring);
        assert_eq!((done.len(), done[0].data, done[0].more), (1, 7, true));
    }
}

#[test]
fn what_comes_is_in_a_buffer_and_a_close_is_empty() {
    let Some(mut ring) = ring() else { return };
    let (mut other, end) = pair();
    for round in 0..u64::from(buffers::BUFFERS) * 2 {
        assert!(ring.receive(end.as_raw_fd(), false, round));
        ring.enter(Patience::None).unwrap();
        write!(other, "round {round}").unwrap();
        let mut done = wait(&mut ring);
        assert_eq!((done.len(), done[0].data), (1, round));
        let received = done[0].received.take().unwrap();
        assert_eq!(ring.bytes(&received), format!("round {round}").as_bytes());
        ring.give_back(received);
    }
    // Bytes that arrived before the request are received as well, up to a buffer's size.
    other.write_all(&[b'x'; BUFFER_SIZE + 1]).unwrap();
    drop(other);
    for len in [BUFFER_SIZE, 1, 0] {
        assert!(ring.receive(end.as_raw_fd(), false, 1));
        let mut done = wait(&mut ring);
        assert_eq!(done[0].result, len as i32);
        if let Some(received) = done[0].received.take() {
            assert_eq!(received.len(), len);
            ring.give_back(received);
        }
    }
}

#[test]
fn without_a_buffer_nothing_is_taken() {
    let Some(mut ring) = ring() else { return };
    let (mut other, mut end) = pair();
    let mut kept = Vec::new();
    for _ in 0..buffers::BUFFERS {
        other.write_all(b"a").unwrap();
        assert!(ring.receive(end.as_raw_fd(), false, 1));
        kept.push(wait(&mut ring)[0].received.take().unwrap());
    }
    other.write_all(b"bc").unwrap();
    assert!(ring.receive(end.as_raw_fd(), false, 2));
    let done = wait(&mut ring);
    assert_eq!((done[0].data, done[0].result), (2, -libc::ENOBUFS));
    let mut two = [0; 2];
    end.read_exact(&mut two).unwrap();
    assert_eq!(&two, b"bc");
    assert!(kept.iter().all(|received| ring.bytes(received) == b"a"));
    kept.into_iter().for_each(|received| ring.give_back(received));
    other.write_all(b"d").unwrap();
    assert!(ring.receive(end.as_raw_fd(), false, 3));
    assert_eq!(wait(&mut ring)[0].result, 1);
}

#[test]
fn what_is_cancelled_lets_go_of_its_socket() {
    let Some(mut ring) = ring() else { return };
    let (mut other, end) = pair();
    assert!(ring.receive(end.as_raw_fd(), false, 1));
    ring.enter(Patience::None).unwrap();
    // The kernel holds the socket while the receive is active.
    drop(end);
    assert!(ring.cancel(1, 2));
    let done = wait(&mut ring);
    assert_eq!((done.len(), done[0].data, done[0].result), (1, 1, -libc::ECANCELED));
    assert_eq!(other.read(&mut [0]).unwrap(), 0);
    assert!(ring.cancel(1, 2));
    let done = wait(&mut ring);
    assert_eq!((done.len(), done[0].data, done[0].result), (1, 2, -libc::ENOENT));
}

#[test]
fn more_requests_than_the_queue_holds_are_handed_over() {
    let Some(mut ring) = ring() else { return };
    let (_other, end) = pair();
    let many = u64::from(REQUESTS) * 2 + 1;
    for data in 0..many {
        assert!(ring.poll(end.as_raw_fd(), Interest::WRITE, data));
    }
    let mut done = Vec::new();
    while done.len() < many as usize {
        done.append(&mut wait(&mut ring));
    }
    let mut seen: Vec<u64> = done.iter().map(|done| done.data).collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..many));
}

#[test]
fn a_ring_ends_while_something_is_under_way() {
    let Some(mut ring) = ring() else { return };
    let (mut other, end) = pair();
    assert!(ring.receive(end.as_raw_fd(), false, 1));
    ring.enter(Patience::None).unwrap();
    other.write_all(b"kept").unwrap();
    drop(ring);
    let mut kept = [0; 4];
    (&end).read_exact(&mut kept).unwrap();
    assert_eq!(&kept, b"kept");
    drop(end);
    assert_eq!(other.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_receive_that_goes_on_brings_all_in_order_until_it_is_cancelled() {
    let Some(mut ring) = ring() else { return };
    let (mut other, mut end) = pair();
    assert!(ring.receive(end.as_raw_fd(), true, 1));
    ring.enter(Patience::None).unwrap();
    let mut got = Vec::new();
    for round in 0..5_u8 {
        let sent = vec![round; if round == 3 { BUFFER_SIZE * 2 + 1 } else { 10 }];
        other.write_all(&sent).unwrap();
        while got.len() < sent.len() {
            for done in wait(&mut ring) {
                assert!(done.more && done.data == 1);
                let received = done.received.unwrap();
                got.extend_from_slice(ring.bytes(&received));
                ring.give_back(received);
            }
        }
        assert_eq!(std::mem::take(&mut got), sent);
    }
    assert!(ring.cancel(1, 2));
    let done = wait(&mut ring);
    assert_eq!((done[0].data, done[0].result, done[0].more), (1, -libc::ECANCELED, false));
    other.write_all(b"x").unwrap();
    assert_eq!(end.read(&mut [0; 9]).unwrap(), 1);
}

#[test]
fn bytes_stay_as_long_as_requests_point_at_them() {
    let Some(mut ring) = ring() else { return };
    let (mut other, end) = pair();
    let mut bytes = b"hello".to_vec();
    let socket = end.as_raw_fd();
    ring.send_all(&mut bytes, [(socket, 0..2, 1), (socket, 2..5, 2)].into_iter());
    assert_eq!(bytes, b"hello");
    let mut got = [0; 5];
    other.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"hello");
    let fails = [0, 1].into_iter().map(|number| match number {
        0 => (socket, 0..5, 1),
        _ => panic!("on purpose"),
    });
    let catch = |run: &mut dyn FnMut()| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err()
    };
    let mut fails = Some(fails);
    assert!(catch(&mut || ring.send_all(&mut bytes, fails.take().unwrap())));
    assert!(bytes.is_empty(), "the ring has them");
    // A completion would be lost.
    assert!(catch(&mut || drop(ring.enter(Patience::None))));
}

#[test]
fn more_completions_than_the_queue_holds_are_all_taken() {
    let Some(mut ring) = ring() else { return };
    let many = u64::from(COMPLETIONS) * 3;
    for data in 0..many {
        assert!(ring.cancel(u64::MAX, data));
    }
    let mut done = Vec::new();
    ring.enter(Patience::None).unwrap();
    ring.all_completions(&mut done);
    assert!(done.iter().map(|done| done.data).eq(0..many));
}
