use std::future::poll_fn;
use std::io::{IoSlice, Read};
use std::os::unix::net::UnixStream;
use std::task::Poll;
use std::time::Duration;

use crate::addr::Addr;
use crate::clock;
use crate::connection::Conn;
use crate::event_loop::{EventLoop, Method, here, settle, yield_now};
use crate::park::Lot;

/// Runs a test with epoll, and with io_uring where available.
fn either_way(test: impl AsyncFn()) {
    EventLoop::new(Method::Epoll).unwrap().block_on(test());
    match EventLoop::new(Method::IoUring) {
        Ok(ring) => ring.block_on(test()),
        Err(error) => crate::skipped::skipped(&format!("there is no io_uring: {error}")),
    }
}

/// Both ends of a connection, ours first. It is watched, like one that has waited.
async fn pair() -> (Conn, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut conn = Conn::from_fd(ours.into(), Addr::Unix(None));
    let mut input = Vec::new();
    poll_fn(|cx| match conn.poll_recv(cx, &mut input, 16) {
        Poll::Pending => Poll::Ready(()),
        Poll::Ready(received) => panic!("nothing was sent, but there is {received:?}"),
    })
    .await;
    (conn, theirs)
}

async fn post(conn: &mut Conn, message: &[u8]) {
    let taken = poll_fn(|cx| conn.poll_post(cx, message)).await.unwrap();
    assert_eq!(taken, message.len());
}

/// Sends until the unread peer accepts no more; returns the number of bytes.
async fn fill(conn: &mut Conn) -> usize {
    let mut all = 0;
    loop {
        let sent = poll_fn(|cx| match conn.poll_send(cx, &[IoSlice::new(&[b'.'; 4096])]) {
            Poll::Pending => Poll::Ready(None),
            Poll::Ready(sent) => Poll::Ready(Some(sent.unwrap())),
        });
        match sent.await {
            Some(sent) => all += sent,
            None => return all,
        }
    }
}

#[test]
fn a_message_leaves_at_the_end_of_the_turn() {
    either_way(async || {
        let (mut conn, mut theirs) = pair().await;
        theirs.set_nonblocking(true).unwrap();
        post(&mut conn, b"later").await;
        let mut got = [0; 16];
        assert!(theirs.read(&mut got).is_err(), "it has not been sent yet");
        yield_now().await;
        assert_eq!(theirs.read(&mut got).unwrap(), 5);
        assert_eq!(&got[..5], b"later");
    });
}

#[test]
fn later_sends_stay_behind_a_message() {
    either_way(async || {
        let (mut conn, mut theirs) = pair().await;
        post(&mut conn, b"one, ").await;
        post(&mut conn, b"two, ").await;
        poll_fn(|cx| conn.poll_send(cx, &[IoSlice::new(b"three")])).await.unwrap();
        drop(conn);
        yield_now().await;
        let mut got = String::new();
        theirs.read_to_string(&mut got).unwrap();
        assert_eq!(got, "one, two, three");
    });
}

#[test]
fn a_message_is_sent_before_its_connection_closes() {
    either_way(async || {
        let (mut conn, mut theirs) = pair().await;
        post(&mut conn, b"last words").await;
        drop(conn);
        yield_now().await;
        let mut got = String::new();
        theirs.read_to_string(&mut got).unwrap();
        assert_eq!(got, "last words");
    });
}

#[test]
fn many_messages_are_sent_before_the_end_of_the_turn() {
    either_way(async || {
        let (mut conn, mut theirs) = pair().await;
        let (mut other, _) = pair().await;
        theirs.set_nonblocking(true).unwrap();
        post(&mut conn, b"first").await;
        for _ in 0..super::BYTES / super::LARGEST {
            let (mut another, _kept) = pair().await;
            post(&mut another, &[b'x'; super::LARGEST]).await;
        }
        post(&mut other, b"one too many").await;
        let mut got = [0; 16];
        assert_eq!(theirs.read(&mut got).unwrap(), 5);
    });
}

#[test]
fn a_stuck_message_is_sent_when_there_is_space() {
    either_way(async || {
        let (mut conn, mut theirs) = pair().await;
        let before = fill(&mut conn).await;
        // The connection does not wait for space, since it does not know that there is none.
        conn.socket().forget_fullness();
        post(&mut conn, b"stuck, ").await;
        yield_now().await;
        assert_eq!(here().outbox.stuck.borrow().len(), 1);
        let reader = std::thread::spawn(move || {
            let mut got = Vec::new();
            theirs.read_to_end(&mut got).unwrap();
            got
        });
        poll_fn(|cx| conn.poll_send(cx, &[IoSlice::new(b"behind it")])).await.unwrap();
        assert!(here().outbox.stuck.borrow().is_empty());
        drop(conn);
        // With io_uring, it is closed after the turn.
        yield_now().await;
        let got = reader.join().unwrap();
        assert_eq!(&got[before..], b"stuck, behind it");
    });
}

#[test]
fn a_connection_is_parked_after_its_message_is_sent() {
    either_way(async || {
        let lot = Lot::new(|_, (), _, _| {});
        let until = clock::now() + Duration::from_secs(3600);
        let (mut conn, mut theirs) = pair().await;
        let before = fill(&mut conn).await;
        conn.socket().forget_fullness();
        post(&mut conn, b"stuck").await;
        yield_now().await;
        let (mut conn, ()) = lot.park(conn, until, ()).unwrap_err();
        assert!(conn.is_stuck());
        let reader = std::thread::spawn(move || {
            let mut got = vec![0; before + 5];
            theirs.read_exact(&mut got).unwrap();
            (got, theirs)
        });
        poll_fn(|cx| conn.poll_posted(cx)).await;
        let (got, _theirs) = reader.join().unwrap();
        assert_eq!(&got[before..], b"stuck");
        assert!(!conn.is_stuck());
        lot.park(*conn, until, ()).unwrap();
    });
}

/// The result of a send may follow more completions than the queue holds.
#[test]
fn a_stuck_message_survives_an_overflow_of_completions() {
    either_way(async || {
        let (mut conn, mut theirs) = pair().await;
        let (mut other, mut others) = pair().await;
        let before = fill(&mut conn).await;
        conn.socket().forget_fullness();
        here().reactor.overflow();
        yield_now().await;
        post(&mut other, b"at once").await;
        post(&mut conn, b"stuck, ").await;
        yield_now().await;
        assert_eq!(here().outbox.stuck.borrow().len(), 1);
        let reader = std::thread::spawn(move || {
            let mut got = Vec::new();
            theirs.read_to_end(&mut got).unwrap();
            got
        });
        poll_fn(|cx| conn.poll_send(cx, &[IoSlice::new(b"behind it")])).await.unwrap();
        drop((conn, other));
        settle().await;
        let got = reader.join().unwrap();
        assert_eq!(&got[before..], b"stuck, behind it");
        let mut got = Vec::new();
        others.read_to_end(&mut got).unwrap();
        assert_eq!(got, b"at once");
    });
}

#[test]
fn closing_a_connection_drops_its_stuck_message() {
    either_way(async || {
        let (mut conn, mut theirs) = pair().await;
        let before = fill(&mut conn).await;
        conn.socket().forget_fullness();
        post(&mut conn, b"stuck").await;
        yield_now().await;
        drop(conn);
        assert!(here().outbox.stuck.borrow().is_empty());
        yield_now().await;
        let mut got = Vec::new();
        // The stream ends, so no one holds the descriptor.
        theirs.read_to_end(&mut got).unwrap();
        assert_eq!(got.len(), before);
    });
}

#[test]
fn a_broken_connection_shows_when_it_is_read() {
    either_way(async || {
        let (mut conn, theirs) = pair().await;
        drop(theirs);
        post(&mut conn, b"for nobody").await;
        yield_now().await;
        let mut input = Vec::new();
        let received = poll_fn(|cx| conn.poll_recv(cx, &mut input, 16)).await;
        assert!(matches!(received, Ok(0) | Err(_)), "{received:?}");
    });
}
