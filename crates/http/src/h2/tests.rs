//! Both sides over a pair of sockets, each with its driver.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use weir_engine::addr::Addr;
use weir_engine::buffer::Buf;
use weir_engine::connection::Conn;
use weir_engine::connection::connect::{ConnectOptions, connect};
use weir_engine::event_loop::{JoinHandle, block_on, spawn, spawn_joined, yield_now};
use weir_engine::sim::{self, Faults, Listening};
use weir_engine::timer;
use weir_wire::h2::{Config, Connection, ErrorCode, PREFACE, Role};

use super::*;
use crate::duplex::Duplex;

const SOON: Duration = Duration::from_secs(20);

fn config(role: Role) -> Config {
    Config {
        role,
        max_streams: 100,
        stream_window: 65_536,
        connection_window: CONNECTION_WINDOW,
        max_frame: 16_384,
        chunk: 8192,
        max_head: 32 * 1024,
        max_fields: 100,
        extended_connect: true,
    }
}

fn ends() -> (UnixStream, UnixStream) {
    let (one, two) = UnixStream::pair().unwrap();
    one.set_nonblocking(true).unwrap();
    two.set_nonblocking(true).unwrap();
    (one, two)
}

fn start(end: UnixStream, config: Config) -> Driver {
    Link::start(Conn::from_fd(end.into(), Addr::Unix(None)), Connection::new(config))
}

/// A client's driver and a server's.
fn pair() -> (Driver, Driver) {
    let (one, two) = ends();
    (start(one, config(Role::Client)), start(two, config(Role::Server)))
}

const UPKEEP: Upkeep = Upkeep { idle: Duration::from_secs(60), send: Duration::from_secs(60) };

/// Drives a client's side in a task.
fn drive(mut driver: Driver) -> (Rc<Link>, JoinHandle<Closed>) {
    let link = Rc::clone(driver.link());
    (link, spawn_joined(async move { driver.drive(UPKEEP).await }))
}

/// Serves every stream by `serve`, in a task.
fn serve<F>(mut driver: Driver, serve: impl Fn(Begun) -> F + 'static) -> JoinHandle<Closed>
where
    F: Future<Output = ()> + 'static,
{
    spawn_joined(async move {
        loop {
            match poll_fn(|cx| driver.poll_accept(cx)).await {
                Ok(begun) => drop(spawn(serve(begun))),
                Err(closed) => return closed,
            }
        }
    })
}

/// Runs a test of at most [`SOON`].
fn test(main: impl Future<Output = ()>) {
    block_on(async { timer::timeout(SOON, main).await.expect("an end in time") });
}

fn ask(link: &Rc<Link>, method: &[u8], end: bool) -> Stream {
    link.open(end, |head| {
        head.field(b":method", method);
        head.field(b":scheme", b"http");
        head.field(b":authority", b"a");
        head.field(b":path", b"/");
    })
}

async fn open(link: &Rc<Link>, method: &[u8], end: bool) -> Stream {
    while !link.can_open() {
        yield_now().await;
    }
    ask(link, method, end)
}

async fn send(stream: &mut Stream, mut bytes: &[u8]) -> Result<(), Ended> {
    while !bytes.is_empty() {
        let room = poll_fn(|cx| stream.poll_room(cx)).await?;
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        stream.send_data(now, later.is_empty());
        bytes = later;
    }
    poll_fn(|cx| stream.poll_flush(cx)).await
}

/// The rest of a body, read in steps of at most `step` bytes.
async fn read(stream: &mut Stream, step: usize) -> Result<Vec<u8>, Ended> {
    let mut all = Vec::new();
    loop {
        let mut part = Buf::empty();
        match poll_fn(|cx| stream.poll_data(cx, &mut part, step)).await? {
            0 => return Ok(all),
            count => assert!(count == part.len() && count <= step),
        }
        all.extend_from_slice(&part);
    }
}

async fn head(stream: &mut Stream) -> Result<Vec<u8>, Ended> {
    let (fields, _) = poll_fn(|cx| stream.poll_head(cx)).await?;
    let status = fields.iter().find(|(name, ..)| *name == b":status").unwrap().1.to_vec();
    stream.reuse(fields);
    Ok(status)
}

fn status(stream: &mut Stream, status: u16, end: bool) {
    stream.send_head(end, |head| head.status(status));
}

fn bytes(count: usize, seed: usize) -> Vec<u8> {
    (0..count).map(|place| (place * 7 + place / 251 + seed) as u8).collect()
}

/// Echoes the body, with trailers.
async fn echo(begun: Begun) {
    let Begun { mut stream, fields, .. } = begun;
    stream.reuse(fields);
    status(&mut stream, 200, false);
    let mut part = Buf::empty();
    while let Ok(1..) = poll_fn(|cx| stream.poll_data(cx, &mut part, 5000)).await {
        let mut rest = &part[..];
        while !rest.is_empty() {
            let Ok(room) = poll_fn(|cx| stream.poll_room(cx)).await else { return };
            let count = room.min(rest.len());
            assert!(stream.send_data(&rest[..count], false) > count);
            rest = &rest[count..];
        }
        part.clear();
    }
    stream.send_head(true, |head| head.field(b"x-end", b"1"));
    let _ = poll_fn(|cx| stream.poll_flush(cx)).await;
}

#[test]
fn many_streams_carry_bodies_both_ways() {
    test(async {
        let (client, server) = pair();
        serve(server, echo);
        let (link, _driven) = drive(client);
        let asks = (0..250).map(|number| {
            let link = Rc::clone(&link);
            spawn_joined(async move {
                let mut stream = open(&link, b"POST", false).await;
                let body = bytes([1, 700, 70_000, 200_000][number % 4], number);
                let sent = body.clone();
                let step = [1000, 100_000][number % 2];
                // Both directions at once: a body may exceed all windows.
                let mut rest = &sent[..];
                let mut got = Vec::new();
                assert_eq!(head(&mut stream).await.unwrap(), b"200");
                while got.len() < body.len() {
                    poll_fn(|cx| {
                        while !rest.is_empty()
                            && let std::task::Poll::Ready(room) = stream.poll_room(cx)
                        {
                            let (now, later) = rest.split_at(room.unwrap().min(rest.len()));
                            stream.send_data(now, later.is_empty());
                            rest = later;
                        }
                        stream.poll_received(cx)
                    })
                    .await
                    .unwrap();
                    let mut part = Buf::empty();
                    stream.take_data(&mut part, step);
                    got.extend_from_slice(&part);
                }
                assert!(got == body, "of stream {number}");
                assert_eq!(read(&mut stream, step).await.unwrap(), b"");
                assert!(stream.is_ended());
                let trailers = stream.take_trailers().unwrap();
                assert_eq!(trailers.iter().map(|(name, ..)| name).collect::<Vec<_>>(), [b"x-end"]);
            })
        });
        for ask in asks.collect::<Vec<_>>() {
            ask.await.unwrap();
        }
        assert_eq!(link.streams(), 0);
    });
}

#[test]
fn a_stream_that_is_not_read_does_not_stop_others() {
    test(async {
        let (client, server) = pair();
        serve(server, async |begun| {
            let mut stream = begun.stream;
            status(&mut stream, 200, false);
            let _ = send(&mut stream, &bytes(300_000, 1)).await;
        });
        let (link, _driven) = drive(client);
        let mut lazy = Vec::new();
        for _ in 0..50 {
            lazy.push(open(&link, b"GET", true).await);
        }
        let mut quick = open(&link, b"GET", true).await;
        assert_eq!(head(&mut quick).await.unwrap(), b"200");
        assert!(read(&mut quick, 9000).await.unwrap() == bytes(300_000, 1));
        // What is held is what was granted.
        assert!(lazy.iter().all(|stream| stream.received() <= 65_536));
        for mut stream in lazy {
            assert!(read(&mut stream, 100_000).await.unwrap() == bytes(300_000, 1));
        }
    });
}

#[test]
fn a_dropped_stream_is_reset_in_every_state() {
    test(async {
        let (client, server) = pair();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = Rc::clone(&seen);
        serve(server, move |begun| {
            let log = Rc::clone(&log);
            async move {
                let mut stream = begun.stream;
                let first = poll_fn(|cx| stream.poll_received(cx)).await;
                match first {
                    Ok(1) => {
                        status(&mut stream, 200, false);
                        let _ = send(&mut stream, &bytes(200_000, 1)).await;
                    }
                    Ok(2) => status(&mut stream, 200, false),
                    Ok(3) => drop(read(&mut stream, 10).await),
                    // Dropped before it has answered.
                    _ => return,
                }
                let gone = poll_fn(|cx| stream.poll_gone(cx)).await;
                log.borrow_mut().push(gone);
            }
        });
        let (link, _driven) = drive(client);
        for kind in 1..=3 {
            let mut stream = open(&link, b"POST", false).await;
            stream.send_data(&bytes(kind, 1), false);
            match kind {
                1 => drop(poll_fn(|cx| stream.poll_received(cx)).await),
                2 => drop(head(&mut stream).await),
                _ => {
                    for _ in 0..5 {
                        yield_now().await;
                    }
                }
            }
        }
        let mut refused = open(&link, b"GET", true).await;
        let Err(Ended::Reset { code, unprocessed: false, .. }) = head(&mut refused).await else {
            panic!("no reset")
        };
        assert_eq!(code, ErrorCode::INTERNAL_ERROR);
        drop(refused);
        while seen.borrow().len() < 3 {
            yield_now().await;
        }
        let cancelled = Ended::Reset { code: ErrorCode::CANCEL, unprocessed: false, fault: None };
        assert_eq!(*seen.borrow(), [cancelled; 3]);
        assert_eq!(link.streams(), 0);
        // The connection is as good as before.
        let mut last = open(&link, b"POST", false).await;
        last.send_data(b"1", true);
        assert_eq!(head(&mut last).await.unwrap(), b"200");
        assert!(read(&mut last, 1 << 20).await.unwrap() == bytes(200_000, 1));
    });
}

#[test]
fn a_lost_connection_tells_its_streams() {
    test(async {
        let (one, mut other) = ends();
        let (link, driven) = drive(start(one, config(Role::Client)));
        other.write_all(b"\0\0\0\x04\0\0\0\0\0").unwrap();
        let mut sent = open(&link, b"GET", true).await;
        for _ in 0..5 {
            yield_now().await;
        }
        let mut got = vec![0; 10_000];
        let count = other.read(&mut got).unwrap();
        assert!(got[..count].starts_with(PREFACE));
        other.shutdown(std::net::Shutdown::Write).unwrap();
        while link.is_usable() {
            yield_now().await;
        }
        assert_eq!(head(&mut sent).await, Err(Ended::Lost { unprocessed: false }));
        assert_eq!(read(&mut sent, 10).await, Err(Ended::Lost { unprocessed: false }));
        assert!(matches!(driven.await, Ok(Closed::Gone(_))));
        assert!(!link.is_usable() && !link.settled().await);
        // Nothing happens to what is done with them now.
        sent.send_data(b"x", true);
        sent.set_window(100_000);
        assert!(poll_fn(|cx| sent.poll_flush(cx)).await.is_err());
        sent.reset(ErrorCode::CANCEL);
    });
}

#[test]
fn a_request_that_was_not_sent_may_be_repeated() {
    test(async {
        let (client, server) = pair();
        let link = Rc::clone(client.link());
        let mut stream = ask(&link, b"GET", true);
        drop((client, server));
        let gone = poll_fn(|cx| stream.poll_gone(cx)).await;
        assert_eq!(gone, Ended::Lost { unprocessed: true });
    });
}

#[test]
fn the_most_streams_are_known_with_the_settings() {
    test(async {
        let (one, two) = ends();
        let (link, _driven) = drive(start(one, config(Role::Client)));
        let mut first = ask(&link, b"POST", false);
        let server = start(two, Config { max_streams: 2, ..config(Role::Server) });
        serve(server, echo);
        assert!(link.settled().await && link.can_open());
        let mut second = ask(&link, b"POST", false);
        assert!(!link.can_open());
        head(&mut first).await.unwrap();
        head(&mut second).await.unwrap();
        drop(first);
        let _third = open(&link, b"GET", true).await;
    });
}

#[test]
fn a_graceful_end_lets_streams_finish() {
    test(async {
        let (client, server) = pair();
        let served = Rc::clone(server.link());
        let closed = serve(server, echo);
        let (link, driven) = drive(client);
        let mut stream = open(&link, b"POST", false).await;
        head(&mut stream).await.unwrap();
        served.shut_down();
        while link.is_usable() {
            yield_now().await;
        }
        send(&mut stream, &bytes(100_000, 3)).await.unwrap();
        assert!(read(&mut stream, 10_000).await.unwrap() == bytes(100_000, 3));
        drop(stream);
        assert!(matches!(closed.await, Ok(Closed::Over)));
        assert!(matches!(driven.await, Ok(Closed::Over | Closed::Gone(None))));
    });
}

#[test]
fn a_tunnel_ends_each_way_by_itself() {
    test(async {
        let (client, server) = pair();
        let said = Rc::new(RefCell::new(Vec::new()));
        let heard = Rc::clone(&said);
        serve(server, move |begun| {
            let heard = Rc::clone(&heard);
            async move {
                let mut stream = begun.stream;
                status(&mut stream, 200, false);
                assert_eq!(
                    poll_fn(|cx| Duplex::poll_send(&mut stream, cx, b"hi")).await.unwrap(),
                    2
                );
                poll_fn(|cx| stream.poll_shutdown(cx)).await.unwrap();
                let mut into = Buf::empty();
                while poll_fn(|cx| stream.poll_recv(cx, &mut into, 100)).await.unwrap() > 0 {
                    heard.borrow_mut().append(&mut into);
                }
                heard.borrow_mut().push(b'.');
            }
        });
        let (link, _driven) = drive(client);
        let mut stream = open(&link, b"POST", false).await;
        head(&mut stream).await.unwrap();
        let mut into = Buf::empty();
        assert_eq!(poll_fn(|cx| stream.poll_recv(cx, &mut into, 100)).await.unwrap(), 2);
        assert_eq!(poll_fn(|cx| stream.poll_recv(cx, &mut into, 100)).await.unwrap(), 0);
        for word in [b"one", b"two"] {
            poll_fn(|cx| Duplex::poll_send(&mut stream, cx, word)).await.unwrap();
            poll_fn(|cx| Duplex::poll_flush(&mut stream, cx)).await.unwrap();
            yield_now().await;
        }
        poll_fn(|cx| stream.poll_shutdown(cx)).await.unwrap();
        while !said.borrow().ends_with(b".") {
            yield_now().await;
        }
        assert_eq!(*said.borrow(), b"onetwo.");
    });
}

#[test]
fn a_quiet_connection_sleeps_and_goes_on() {
    test(async {
        let (client, mut server) = pair();
        let (link, _driven) = drive(client);
        for round in 0..3 {
            let mut stream = open(&link, b"GET", true).await;
            let mut begun = poll_fn(|cx| server.poll_accept(cx)).await.ok().unwrap();
            assert_eq!(begun.fields.iter().count(), 4, "round {round}");
            let Err(busy) = server.sleep() else { panic!("it has a stream") };
            server = busy;
            status(&mut begun.stream, 204, true);
            drop(begun);
            let mut answered = std::pin::pin!(head(&mut stream));
            let got = poll_fn(|cx| {
                assert!(server.poll_accept(cx).is_pending());
                answered.as_mut().poll(cx)
            });
            assert_eq!(got.await.unwrap(), b"204");
            while !server.is_quiet() {
                poll_fn(|cx| {
                    assert!(server.poll_accept(cx).is_pending());
                    std::task::Poll::Ready(())
                })
                .await;
                yield_now().await;
            }
            let (conn, asleep) = server.sleep().ok().unwrap();
            server = Driver::awaken(conn, asleep);
        }
    });
}

#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    test(async {
        let (one, mut other) = ends();
        let mut driver = start(one, config(Role::Server));
        driver.set_send_timeout(Duration::from_millis(50));
        let closed = serve(driver, async |begun| {
            let mut stream = begun.stream;
            status(&mut stream, 200, false);
            let _ = send(&mut stream, &bytes(4_000_000, 1)).await;
        });
        // With a window that nothing of the response exceeds.
        let mut client = Connection::new(Config { stream_window: 8 << 20, ..config(Role::Client) });
        client.open(true, |head| {
            head.field(b":method", b"GET");
            head.field(b":scheme", b"http");
            head.field(b":path", b"/");
        });
        other.write_all(client.output()).unwrap();
        assert!(matches!(closed.await, Ok(Closed::SendTimedOut)));
    });
}

/// Runs `main` in virtual time, with a peer that accepts a connection, says `says`, and reads.
fn against(says: &'static [u8], main: impl AsyncFnOnce(Driver, Rc<Cell<usize>>) + Send + 'static) {
    let thread = std::thread::spawn(move || {
        sim::run(1, Faults::none(), async {
            let address = SocketAddr::from(([10, 1, 0, 1], 80));
            let listening = Listening::at(address);
            let got = Rc::new(Cell::new(0));
            let counted = Rc::clone(&got);
            spawn(async move {
                let peer = listening.accept().await;
                peer.write_all(says).await.unwrap();
                let mut into = Vec::new();
                while let Ok(count @ 1..) = peer.read(&mut into, 10_000).await {
                    counted.set(counted.get() + count);
                }
            });
            let options = ConnectOptions::default();
            let conn = connect(&Addr::Inet(address), &options, SOON).await.unwrap();
            main(Link::start(conn, Connection::new(config(Role::Client))), got).await;
        });
    });
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

const EMPTY_SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

#[test]
fn a_silent_upstream_is_asked_and_given_up() {
    against(EMPTY_SETTINGS, async |driver, got| {
        let start = weir_engine::clock::precise();
        let (link, driven) = drive(driver);
        let mut stream = open(&link, b"GET", true).await;
        timer::sleep(upkeep::PING_AFTER / 2).await;
        let before = got.get();
        timer::sleep(upkeep::PING_AFTER).await;
        assert_eq!(got.get(), before + 17, "one ping");
        assert_eq!(head(&mut stream).await, Err(Ended::Lost { unprocessed: false }));
        assert!(matches!(driven.await, Ok(Closed::Silent)));
        let took = start.elapsed();
        let whole = upkeep::PING_AFTER + upkeep::PING_TIMEOUT;
        assert!(took >= whole && took < whole + Duration::from_secs(1), "{took:?}");
    });
}

#[test]
fn an_idle_upstream_is_left_and_not_asked() {
    against(EMPTY_SETTINGS, async |driver, got| {
        let start = weir_engine::clock::precise();
        let (_link, driven) = drive(driver);
        timer::sleep(Duration::from_secs(1)).await;
        let before = got.get();
        assert!(matches!(driven.await, Ok(Closed::Idle)));
        assert_eq!(got.get(), before);
        let took = start.elapsed();
        assert!(took >= UPKEEP.idle && took < UPKEEP.idle + Duration::from_secs(1), "{took:?}");
    });
}
