//! A steady load: requests that are due at fixed times, whatever has become of the earlier ones, on
//! kept connections. A record is kept of each.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};

use super::PATIENCE;

/// The limit of requests under way. Beyond it, due requests are left out.
const UNDER_WAY: usize = 900;

/// Requests that are so late, because this thread had no turn, are left out.
const LATE: Duration = Duration::from_millis(50);

/// The longest wait of the loop.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };

/// What became of a request.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// When it was sent.
    pub(crate) sent: Instant,
    /// The time until the end of its response.
    pub(crate) took: Duration,
    /// The first character of the page, which is the number of the server, or the error.
    pub(crate) outcome: Result<char, String>,
}

/// A running load.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    records: Arc<Mutex<Vec<Record>>>,
    thread: Option<JoinHandle<()>>,
}

/// What clients saw in a time.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) requests: usize,
    pub(crate) errors: Vec<String>,
    /// The shares of servers.
    pub(crate) shares: BTreeMap<char, f64>,
    /// The time within which half of the requests were answered.
    pub(crate) p50: Duration,
    /// The time within which 99 of 100 requests were answered.
    pub(crate) p99: Duration,
}

impl Traffic {
    fn of(records: &[Record]) -> Self {
        let mut seen = Self { requests: records.len(), ..Self::default() };
        let mut times = Vec::new();
        for record in records {
            times.push(record.took);
            match &record.outcome {
                Ok(server) => *seen.shares.entry(*server).or_default() += 1.0,
                Err(error) => seen.errors.push(error.clone()),
            }
        }
        times.sort();
        let at = |percent: usize| times.get(times.len() * percent / 100).copied();
        (seen.p50, seen.p99) = (at(50).unwrap_or_default(), at(99).unwrap_or_default());
        let good = (seen.requests - seen.errors.len()) as f64;
        seen.shares.values_mut().for_each(|share| *share /= good);
        seen
    }

    /// The share of a server.
    pub(crate) fn share(&self, server: char) -> f64 {
        self.shares.get(&server).copied().unwrap_or_default()
    }

    /// Fails if a client saw an error.
    #[track_caller]
    pub(crate) fn assert_good(&self, when: &str) {
        let Self { requests, errors, .. } = self;
        let some = &errors[..errors.len().min(5)];
        assert!(errors.is_empty(), "{when}: {} errors of {requests}: {some:?}", errors.len());
        assert!(*requests > 0, "{when}: no requests");
    }
}

/// The longest time for which a busy machine may send nothing.
const STALL: Duration = Duration::from_secs(20);

impl Load {
    /// Starts a load of GET requests for `target`, so many a second, with additional header lines,
    /// each ending in CRLF.
    pub(crate) fn start(address: &str, target: &str, lines: &str, rate: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let records = Arc::<Mutex<Vec<Record>>>::default();
        let mut generator = Generator {
            address: address.parse().unwrap(),
            request: format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"),
            period: Duration::from_secs(1) / rate,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC).unwrap(),
            connections: Vec::new(),
            idle: Vec::new(),
            closed: Vec::new(),
            records: Arc::clone(&records),
        };
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || generator.run(&stopped));
        Self { stop, records, thread: Some(thread) }
    }

    /// What clients saw of the requests sent from one time to another. Those under way are not
    /// among them.
    pub(crate) fn between(&self, from: Instant, to: Instant) -> Traffic {
        let records = self.records.lock().unwrap();
        let within = |record: &&Record| record.sent >= from && record.sent < to;
        Traffic::of(&records.iter().filter(within).cloned().collect::<Vec<_>>())
    }

    /// Lets the load run for a time, longer if a busy machine sent nothing in it, and tells what
    /// clients saw of it.
    pub(crate) fn run_for(&self, time: Duration) -> Traffic {
        let from = Instant::now();
        loop {
            let left = time.saturating_sub(from.elapsed());
            if left.is_zero() {
                let traffic = self.between(from, Instant::now());
                if traffic.requests > 0 || from.elapsed() > time + STALL {
                    return traffic;
                }
            }
            std::thread::park_timeout(left.max(Duration::from_millis(10)));
        }
    }

    /// Waits for the responses to all requests and tells what clients saw in all.
    pub(crate) fn finish(mut self) -> Traffic {
        self.end();
        Traffic::of(&self.records.lock().unwrap())
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
        }
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Connection {
    stream: TcpStream,
    /// When its current request was sent.
    sent: Option<Instant>,
    received: Vec<u8>,
}

struct Generator {
    address: SocketAddr,
    request: String,
    period: Duration,
    epoll: OwnedFd,
    connections: Vec<Option<Connection>>,
    /// The places of connections without a request.
    idle: Vec<usize>,
    /// Places without a connection.
    closed: Vec<usize>,
    records: Arc<Mutex<Vec<Record>>>,
}

impl Generator {
    fn run(&mut self, stop: &AtomicBool) {
        let mut due = Instant::now();
        let mut stopped = false;
        loop {
            stopped |= stop.load(Ordering::Relaxed);
            let now = Instant::now();
            if stopped && self.under_way() == 0 {
                return;
            }
            if !stopped {
                if now.saturating_duration_since(due) > LATE {
                    due = now;
                }
                while due <= now {
                    if self.under_way() < UNDER_WAY {
                        self.send();
                    }
                    due += self.period;
                }
            }
            self.expire(now);
            let mut events = Vec::with_capacity(64);
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&TICK))
            {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("{error}"),
            }
            for event in events {
                let data = event.data;
                self.receive(data.u64() as usize);
            }
        }
    }

    fn under_way(&self) -> usize {
        self.connections.len() - self.idle.len() - self.closed.len()
    }

    fn send(&mut self) {
        let sent = Instant::now();
        let place = match self.idle.pop() {
            Some(place) => place,
            None => match self.connect() {
                Ok(place) => place,
                Err(error) => return self.record(sent, Err(format!("connecting: {error}"))),
            },
        };
        let connection = self.connections[place].as_mut().unwrap();
        connection.sent = Some(sent);
        if let Err(error) = connection.stream.write_all(self.request.as_bytes()) {
            self.close(place, Some(&format!("sending: {error}")));
        }
    }

    fn connect(&mut self) -> std::io::Result<usize> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let place = self.closed.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        let data = epoll::EventData::new_u64(place as u64);
        epoll::add(&self.epoll, &stream, data, epoll::EventFlags::IN)?;
        let connection = Connection { stream, sent: None, received: Vec::new() };
        self.connections[place] = Some(connection);
        Ok(place)
    }

    fn receive(&mut self, place: usize) {
        let Some(connection) = &mut self.connections[place] else { return };
        let mut bytes = [0; 4096];
        match connection.stream.read(&mut bytes) {
            Ok(0) => return self.close(place, Some("closed")),
            Ok(count) => connection.received.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => return self.close(place, Some(&error.to_string())),
        }
        let Some((outcome, keeps)) = response(&connection.received) else { return };
        connection.received.clear();
        if let Some(sent) = connection.sent.take() {
            self.record(sent, outcome);
            self.idle.push(place);
        }
        if !keeps {
            self.close(place, None);
        }
    }

    /// Closes a connection; a request on it has failed with this error.
    fn close(&mut self, place: usize, error: Option<&str>) {
        let Some(connection) = self.connections[place].take() else { return };
        self.idle.retain(|idle| *idle != place);
        self.closed.push(place);
        if let (Some(sent), Some(error)) = (connection.sent, error) {
            let received = String::from_utf8_lossy(&connection.received).into_owned();
            self.record(sent, Err(format!("{error} {received}")));
        }
    }

    /// Gives requests up that have waited too long.
    fn expire(&mut self, now: Instant) {
        let is_late = |connection: &Connection| {
            connection.sent.is_some_and(|sent| now.saturating_duration_since(sent) > PATIENCE)
        };
        for place in 0..self.connections.len() {
            if self.connections[place].as_ref().is_some_and(is_late) {
                self.close(place, Some("no response"));
            }
        }
    }

    fn record(&self, sent: Instant, outcome: Result<char, String>) {
        let record = Record { sent, took: sent.elapsed(), outcome };
        self.records.lock().unwrap().push(record);
    }
}

/// A complete response, and whether its connection is kept.
fn response(bytes: &[u8]) -> Option<(Result<char, String>, bool)> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let field = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let mut same = lines.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        same.next().map(|(_, value)| value)
    };
    let length: usize = field("Content-Length").and_then(|text| text.parse().ok())?;
    if body.len() < length {
        return None;
    }
    let keeps = field("Connection") != Some("close");
    let outcome = match (head.starts_with("HTTP/1.1 200 "), body.chars().next()) {
        (true, Some(server)) => Ok(server),
        _ => Err(head.lines().next().unwrap_or_default().to_owned()),
    };
    Some((outcome, keeps))
}
