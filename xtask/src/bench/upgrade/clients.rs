//! Clients that ask again and again while binaries come and go.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Failure;

/// The number of clients with a connection for each request, and of clients that keep theirs.
const OF_EACH_KIND: usize = 4;

/// The pause of a client before its next request.
const PAUSE: Duration = Duration::from_millis(1);

/// The time limit for a response.
const PATIENCE: Duration = Duration::from_secs(30);

const LAST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const NEXT: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// What clients have seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) requests: u64,
    /// Connections that the server did not take.
    pub(super) refused: u64,
    /// Requests without a whole response, on a connection of their own.
    pub(super) lost_on_new: u64,
    /// The same on connections that had requests before.
    pub(super) lost_on_kept: u64,
    /// The longest time from a connection's or a request's begin to the end of the response.
    pub(super) worst: Duration,
}

/// Running clients.
pub(super) struct Clients {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Seen>>,
}

impl Clients {
    pub(super) fn start(port: u16) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let kinds = [LAST, NEXT].into_iter().flat_map(|kind| [kind; OF_EACH_KIND]);
        let start = |request: &'static [u8]| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || run(port, request, &stop))
        };
        let threads = kinds.map(start).collect();
        Self { stop, threads }
    }

    /// Stops the clients and adds up what they have seen.
    pub(super) fn finish(mut self) -> Result<Seen, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = Seen::default();
        for thread in std::mem::take(&mut self.threads) {
            let seen = thread.join().map_err(|_| "a client panicked")?;
            sum.requests += seen.requests;
            sum.refused += seen.refused;
            sum.lost_on_new += seen.lost_on_new;
            sum.lost_on_kept += seen.lost_on_kept;
            sum.worst = sum.worst.max(seen.worst);
        }
        Ok(sum)
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn run(port: u16, request: &[u8], stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut kept = None;
    while !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        seen.requests += 1;
        let is_kept = kept.is_some();
        match kept.take().map_or_else(|| connect(port), Ok) {
            Err(_) => seen.refused += 1,
            Ok(mut stream) => match exchange(&mut stream, request) {
                Ok(answer) => kept = answer.keeps.then_some(stream),
                Err(_) if is_kept => seen.lost_on_kept += 1,
                Err(_) => seen.lost_on_new += 1,
            },
        }
        seen.worst = seen.worst.max(started.elapsed());
        std::thread::park_timeout(PAUSE);
    }
    seen
}

/// The process that answers on a new connection.
pub(super) fn ask(port: u16) -> std::io::Result<u32> {
    let answer = exchange(&mut connect(port)?, LAST)?;
    answer.process.ok_or_else(|| ErrorKind::InvalidData.into())
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A response.
struct Answer {
    /// The body.
    process: Option<u32>,
    /// Whether the server keeps the connection.
    keeps: bool,
}

fn exchange(stream: &mut TcpStream, request: &[u8]) -> std::io::Result<Answer> {
    stream.write_all(request)?;
    let mut received = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        match stream.read(&mut chunk)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => received.extend_from_slice(&chunk[..count]),
        }
        let text = String::from_utf8_lossy(&received);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.and_then(|text| text.parse().ok()).unwrap_or_default();
        if body.len() >= length {
            let keeps = !head.contains("\r\nConnection: close");
            return match head.starts_with("HTTP/1.1 200 ") {
                true => Ok(Answer { process: body.parse().ok(), keeps }),
                false => Err(ErrorKind::InvalidData.into()),
            };
        }
    }
}
