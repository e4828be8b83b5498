use super::*;
use crate::connection::connect::{ConnectOptions, connect};
use crate::event_loop::{block_on, spawn_joined};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;

const SOON: Duration = Duration::from_secs(5);

fn pair() -> (Conn, Conn) {
    let (one, two) = UnixStream::pair().unwrap();
    let conn = |end: UnixStream| {
        end.set_nonblocking(true).unwrap();
        Conn::from_fd(end.into(), Addr::Unix(None))
    };
    (conn(one), conn(two))
}

#[test]
fn data_passes_in_both_directions_and_ends() {
    block_on(async {
        let (mut one, mut two) = pair();
        one.send_all(&[b"head", b"", b"body"], SOON).await.unwrap();
        let mut got = Vec::new();
        assert_eq!(two.recv(&mut got, 6, SOON).await.unwrap(), 6);
        assert_eq!(two.recv(&mut got, 100, SOON).await.unwrap(), 2);
        assert_eq!(got, b"headbody");
        two.unread(b"body");
        two.readable(SOON).await.unwrap();
        got.clear();
        assert_eq!(two.recv(&mut got, 3, SOON).await.unwrap(), 3);
        assert_eq!(two.recv(&mut got, 3, SOON).await.unwrap(), 1);
        assert_eq!(got, b"body");
        std::future::poll_fn(|cx| one.poll_shutdown(cx)).await.unwrap();
        assert_eq!(two.recv(&mut got, 10, SOON).await.unwrap(), 0);
        assert!(two.is_closed());
    });
}

#[test]
fn a_reader_is_woken() {
    block_on(async {
        let (mut one, mut two) = pair();
        let reader = spawn_joined(async move {
            let mut got = Vec::new();
            for _ in 0..3 {
                two.readable(SOON).await.unwrap();
                two.recv(&mut got, 1000, SOON).await.unwrap();
                two.send_all(&[b"ok"], SOON).await.unwrap();
            }
            got
        });
        let mut ok = Vec::new();
        for word in [b"one", b"two", b"six"] {
            one.send_all(&[word], SOON).await.unwrap();
            one.recv(&mut ok, 100, SOON).await.unwrap();
        }
        assert_eq!(reader.await.unwrap(), b"onetwosix");
    });
}

#[test]
fn a_full_socket_makes_the_sender_wait() {
    block_on(async {
        let (mut one, mut two) = pair();
        let big = vec![7_u8; 4 * 1024 * 1024];
        let size = big.len();
        let sender = spawn_joined(async move { one.send_all(&[&big], SOON).await });
        let mut got = Vec::new();
        while two.recv(&mut got, 65_536, SOON).await.unwrap() > 0 {}
        sender.await.unwrap().unwrap();
        assert_eq!(got.len(), size);
    });
}

#[test]
fn waits_time_out() {
    block_on(async {
        let (mut one, _two) = pair();
        let late = one.recv(&mut Vec::new(), 1, Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    });
}

#[test]
fn checking_an_idle_connection_reads_nothing() {
    block_on(async {
        let (mut one, mut two) = pair();
        assert!(two.is_idle_alive());
        one.send_all(&[b"x"], SOON).await.unwrap();
        two.readable(SOON).await.unwrap();
        assert!(!two.is_idle_alive());
        let mut got = Vec::new();
        two.recv(&mut got, 10, SOON).await.unwrap();
        assert!(two.is_idle_alive());
        drop(one);
        two.readable(SOON).await.unwrap();
        assert!(!two.is_idle_alive());
    });
}

#[test]
fn tcp_connections_have_addresses_and_numbers() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = Addr::Inet(listener.local_addr().unwrap());
        let mut conn = connect(&addr, &ConnectOptions::default(), SOON).await.unwrap();
        let (_other, from) = listener.accept().unwrap();
        assert_eq!(conn.peer(), &addr);
        assert_eq!(conn.local(), &Addr::Inet(from));
        assert!(conn.id() > 0);
        conn.set_nodelay(true);
        assert!(conn.tcp_info().is_some());
        let next = connect(&addr, &ConnectOptions::default(), SOON).await.unwrap();
        assert!(next.id() > conn.id());
    });
}

#[test]
fn the_last_bytes_leave_with_the_end() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = Addr::Inet(listener.local_addr().unwrap());
        // The kernel holds bytes back only for a while, and this thread may be stopped for longer.
        let held_back = (0..50).any(|_| {
            let mut theirs = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (ours, _) = listener.accept().unwrap();
            ours.set_nonblocking(true).unwrap();
            theirs.set_nonblocking(true).unwrap();
            let mut conn = Conn::from_fd(ours.into(), addr.clone());
            conn.end_follows();
            let mut cx = Context::from_waker(Waker::noop());
            let sent = conn.poll_send(&mut cx, &[IoSlice::new(b"last")]);
            assert!(matches!(sent, Poll::Ready(Ok(4))), "{sent:?}");
            let mut got = Vec::new();
            let nothing = io::Read::read_to_end(&mut theirs, &mut got).unwrap_err();
            assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
            let held_back = got.is_empty();
            conn.close();
            theirs.set_nonblocking(false).unwrap();
            io::Read::read_to_end(&mut theirs, &mut got).unwrap();
            assert_eq!(got, b"last");
            held_back
        });
        assert!(held_back);
    });
}

#[test]
fn a_refused_connection_is_an_error() {
    block_on(async {
        // Another test may be given a port that was free a moment ago.
        let addr = Addr::Inet("127.0.0.1:1".parse().unwrap());
        let error = connect(&addr, &ConnectOptions::default(), SOON).await.unwrap_err();
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn many_slices_are_sent_in_order() {
    block_on(async {
        let (mut one, mut two) = pair();
        let words: Vec<String> = (0..300).map(|number| format!("{number} ")).collect();
        let bufs: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        one.send_all(&bufs, SOON).await.unwrap();
        drop(one);
        let mut got = Vec::new();
        while two.recv(&mut got, 4096, SOON).await.unwrap() > 0 {}
        assert_eq!(got, words.concat().into_bytes());
    });
}
