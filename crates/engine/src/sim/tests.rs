use std::cell::Cell;
use std::io;
use std::rc::Rc;

use super::*;
use crate::addr::Addr;
use crate::clock;
use crate::connection::Conn;
use crate::connection::connect::{ConnectOptions, connect};
use crate::event_loop::{spawn, spawn_joined};
use crate::listen;
use crate::timer::sleep;

const PROXY: ([u8; 4], u16) = ([10, 0, 0, 1], 80);
const CLIENT: ([u8; 4], u16) = ([192, 0, 2, 7], 5000);

fn addr((ip, port): ([u8; 4], u16)) -> SocketAddr {
    (ip, port).into()
}

/// Runs a simulation on a thread of its own, which has no loop yet.
fn simulate<T: Send + 'static>(
    seed: u64,
    faults: Faults,
    main: impl AsyncFnOnce() -> T + Send + 'static,
) -> (T, Vec<String>) {
    let thread = std::thread::spawn(move || {
        let output = run(seed, faults, async {
            keep_trace();
            main().await
        });
        (output, take_trace())
    });
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Echoes until the end.
async fn echo(mut conn: Conn) {
    let mut bytes = Vec::new();
    while let Ok(1..) = conn.recv(&mut bytes, 4096, Duration::from_secs(60)).await {
        if conn.send_all(&[&bytes], Duration::from_secs(60)).await.is_err() {
            return;
        }
        bytes.clear();
    }
    conn.close();
}

fn serve_echo() -> (Arc<OwnedFd>, listen::Accepting) {
    let socket = listener(addr(PROXY));
    let accepting = listen::accept(Arc::clone(&socket), false, |conn| {
        spawn(echo(conn));
    });
    (socket, accepting.unwrap())
}

/// Sends `count` bytes and returns whether their echo is right.
async fn ask(count: usize) -> io::Result<bool> {
    let peer = Peer::connect(addr(CLIENT), addr(PROXY)).await?;
    let message: Vec<u8> = (0..count).map(|place| (place % 251) as u8).collect();
    let mut got = Vec::new();
    for part in message.chunks(1000) {
        peer.write_all(part).await?;
        while got.len() < message.len() && peer.read(&mut got, 10_000).await? > 0 {
            if message.starts_with(&got) && got.len().is_multiple_of(1000) {
                break;
            }
        }
    }
    peer.finish();
    while peer.read(&mut got, 10_000).await? > 0 {}
    Ok(got == message)
}

#[test]
fn an_echo_is_in_order_and_leaves_nothing_behind() {
    let mut faults = Faults::none();
    faults.pieces = 1..=700;
    faults.buffers = 300..=5000;
    simulate(1, faults, async || {
        let _serving = serve_echo();
        let before = Census::take();
        let asking: Vec<_> = (0..20).map(|number| spawn_joined(ask(number * 997))).collect();
        for asked in asking {
            assert!(asked.await.unwrap().unwrap());
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(
            Census { timers: before.timers, ..Census::take() },
            Census { timers: before.timers, ..before }
        );
    });
}

#[test]
fn a_seed_replays() {
    let run = |seed| {
        let faults = Faults {
            stalls: Some((5, Duration::from_secs(90))),
            resets: Some(3),
            losses: Some(5),
            reach: 5000,
            refusals: Some(9),
            shortages: Some(4),
            ..Faults::none()
        };
        let main = async || {
            let _serving = serve_echo();
            let mut asking = Vec::new();
            for number in 0..20 {
                asking.push(spawn_joined(async move {
                    let limit = Duration::from_secs(100);
                    crate::timer::timeout(limit, ask(number * 500)).await.map(|done| done.is_ok())
                }));
                sleep(Duration::from_millis(draw(|random| random.u64(..50)))).await;
            }
            let mut ends = Vec::new();
            for asked in asking {
                ends.push(format!("{:?}", asked.await.unwrap()));
            }
            (ends, clock::now())
        };
        simulate(seed, faults, main)
    };
    let once = run(7);
    assert!(once.1.len() > 100);
    assert!(once == run(7));
    assert!(once != run(8));
}

#[test]
fn time_passes_only_in_waits() {
    let real = std::time::Instant::now();
    let (passed, _) = simulate(1, Faults::none(), async || {
        let (start, wall) = (clock::precise(), clock::wall_secs());
        sleep(Duration::from_secs(10_000)).await;
        assert!((10_000..10_002).contains(&(clock::wall_secs() - wall)));
        clock::precise() - start
    });
    assert!((10_000..10_001).contains(&passed.as_secs()), "{passed:?}");
    assert!(real.elapsed() < Duration::from_secs(1000));
}

#[test]
fn a_hopeless_wait_is_detected() {
    let stuck = std::panic::catch_unwind(|| {
        simulate(1, Faults::none(), async || {
            let _peers = Peer::connect(addr(CLIENT), addr(PROXY)).await;
            let _serving = serve_echo();
            let peer = Peer::connect(addr(CLIENT), addr(PROXY)).await.unwrap();
            std::future::poll_fn(|_| std::task::Poll::<()>::Pending).await;
            peer.finish();
        })
    });
    let message = *stuck.unwrap_err().downcast::<String>().unwrap();
    // A wait for the end of a connection would have a deadline.
    assert!(message.starts_with("nothing can happen any more; open: c1> (Open)"), "{message}");
}

#[test]
fn a_loop_that_never_sleeps_is_detected() {
    let endless = std::panic::catch_unwind(|| {
        simulate(1, Faults::none(), async || {
            network::with(|world| world.horizon = world.now + 1_000_000_000);
            loop {
                crate::event_loop::yield_now().await;
            }
        })
    });
    let message = *endless.unwrap_err().downcast::<String>().unwrap();
    assert!(message.starts_with("time runs on without an end"), "{message}");
}

#[test]
fn faults_look_like_the_kernels() {
    let outcome = |faults| {
        let main = async || {
            let _listening = Listening::at(addr(PROXY));
            let limit = Duration::from_secs(5);
            let to = Addr::Inet(addr(PROXY));
            let done = connect(&to, &ConnectOptions::default(), limit).await;
            done.err().map(|error| io::Error::from(error).kind())
        };
        simulate(1, faults, main).0
    };
    assert_eq!(outcome(Faults::none()), None);
    let refused = Faults { refusals: Some(1), ..Faults::none() };
    assert_eq!(outcome(refused), Some(io::ErrorKind::ConnectionRefused));
    let short = Faults { shortages: Some(1), ..Faults::none() };
    let short = outcome(short).unwrap();
    assert_eq!(short, io::Error::from(rustix::io::Errno::MFILE).kind());
    let lost = (1..100).find_map(|seed| {
        let faults = Faults { refusals: Some(2), ..Faults::none() };
        let main = async || {
            let to = Addr::Inet(addr(PROXY));
            let _listening = Listening::at(addr(PROXY));
            connect(&to, &ConnectOptions::default(), Duration::from_secs(5)).await.err()
        };
        let (error, _) = simulate(seed, faults, main);
        error.map(|error| io::Error::from(error).kind()).filter(|k| *k == io::ErrorKind::TimedOut)
    });
    assert_eq!(lost, Some(io::ErrorKind::TimedOut));
}

#[test]
fn a_close_with_unread_data_is_a_reset() {
    simulate(1, Faults::none(), async || {
        let listening = Listening::at(addr(PROXY));
        let seen = Rc::new(Cell::new(None));
        let see = Rc::clone(&seen);
        let other = spawn_joined(async move {
            let peer = listening.accept().await;
            let mut got = Vec::new();
            peer.read(&mut got, 4).await.unwrap();
            see.set(Some(got));
            drop(peer);
        });
        let to = Addr::Inet(addr(PROXY));
        let options = ConnectOptions::default();
        let mut conn = connect(&to, &options, Duration::from_secs(5)).await.unwrap();
        conn.send_all(&[b"more than four"], Duration::from_secs(1)).await.unwrap();
        other.await.unwrap();
        let error = conn.recv(&mut Vec::new(), 10, Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(seen.take().as_deref(), Some(&b"more"[..]));
        assert_eq!(conn.recv(&mut Vec::new(), 10, Duration::from_secs(5)).await.unwrap(), 0);
    });
}
