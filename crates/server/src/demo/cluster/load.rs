//! The clients of the cluster: requests at a steady rate on kept connections, whatever becomes of
//! the earlier ones.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The requests per second.
pub(super) const RATE: u32 = 600;

/// The number of clients, each with one request at a time. While all wait, less is asked.
const CLIENTS: usize = 64;

/// Requests that are later than this, because all clients waited, are left out.
const LATE: Duration = Duration::from_millis(100);

/// The time limit for a response.
const PATIENCE: Duration = Duration::from_secs(10);

/// The maximum length of a response, in bytes.
const RESPONSE: u64 = 64 * 1024;

/// A running load.
pub(super) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

struct Shared {
    front: SocketAddr,
    start: Instant,
    /// The number of the next request.
    next: AtomicU32,
    stop: AtomicBool,
    answers: Mutex<Vec<Answer>>,
}

struct Answer {
    took: Duration,
    /// The number of the server, or an error.
    outcome: Result<usize, String>,
}

/// What clients saw in some time.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) requests: usize,
    pub(super) errors: Vec<String>,
    /// The time in which half of the requests were answered.
    pub(super) p50: Duration,
    /// The time in which 99 of 100 requests were answered.
    pub(super) p99: Duration,
    /// The number of answers by server.
    pub(super) answers: BTreeMap<usize, usize>,
}

impl Tally {
    fn of(answers: Vec<Answer>) -> Self {
        let mut tally = Self { requests: answers.len(), ..Self::default() };
        let mut times = Vec::new();
        for answer in answers {
            times.push(answer.took);
            match answer.outcome {
                Ok(server) => *tally.answers.entry(server).or_default() += 1,
                Err(error) => tally.errors.push(error),
            }
        }
        times.sort();
        let at = |percent: usize| times.get(times.len() * percent / 100).copied();
        (tally.p50, tally.p99) = (at(50).unwrap_or_default(), at(99).unwrap_or_default());
        tally
    }

    /// The percentage of a server's answers; `None` if it gave none.
    pub(super) fn percent(&self, server: usize) -> Option<usize> {
        let all: usize = self.answers.values().sum();
        self.answers.get(&server).map(|count| (count * 100 + all / 2) / all.max(1))
    }
}

impl Load {
    /// Begins to ask.
    pub(super) fn start(front: SocketAddr) -> Self {
        let shared = Arc::new(Shared {
            front,
            start: Instant::now(),
            next: AtomicU32::new(0),
            stop: AtomicBool::new(false),
            answers: Mutex::default(),
        });
        let client = || {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.ask_on())
        };
        Self { clients: (0..CLIENTS).map(|_| client()).collect(), shared }
    }

    /// What clients saw since the last call. Requests under way are counted when they end.
    pub(super) fn take(&self) -> Tally {
        Tally::of(std::mem::take(&mut *self.shared.answers()))
    }

    /// Stops, waits for the requests under way, and returns what clients saw since the last call.
    pub(super) fn finish(mut self) -> Tally {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.clients.drain(..).for_each(|client| drop(client.join()));
        self.take()
    }
}

impl Shared {
    fn answers(&self) -> MutexGuard<'_, Vec<Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One client.
    fn ask_on(&self) {
        let mut connection = None;
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let due = self.start + Duration::from_secs(1) / RATE * number;
            let now = Instant::now();
            if now > due + LATE {
                continue;
            }
            std::thread::sleep(due.saturating_duration_since(now));
            let sent = Instant::now();
            let outcome = ask(&mut connection, self.front).map_err(|error| error.to_string());
            if outcome.is_err() {
                connection = None;
            }
            self.answers().push(Answer { took: sent.elapsed(), outcome });
        }
    }
}

/// Sends a request, on the client's connection if it has one, and returns the server's number.
fn ask(connection: &mut Option<BufReader<TcpStream>>, front: SocketAddr) -> std::io::Result<usize> {
    let reader = match connection {
        Some(reader) => reader,
        None => {
            let stream = TcpStream::connect(front)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            connection.insert(BufReader::new(stream))
        }
    };
    reader.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let (mut status, mut server, mut length, mut closes) = (String::new(), None, 0, false);
    let mut response = Read::take(&mut *reader, RESPONSE);
    if response.read_line(&mut status)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    loop {
        let mut line = String::new();
        if response.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "x-server" => server = value.parse().ok(),
            "content-length" => length = value.parse().unwrap_or(0),
            "connection" => closes = value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    std::io::copy(&mut Read::take(&mut response, length), &mut std::io::sink())?;
    if closes {
        *connection = None;
    }
    match server {
        Some(server) if status.starts_with("HTTP/1.1 200 ") => Ok(server),
        _ => Err(Error::other(status.trim_end().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_has_percentiles_and_shares() {
        let answer = |millis, outcome| Answer { took: Duration::from_millis(millis), outcome };
        let mut answers: Vec<_> = (1..=99).map(|n| answer(n, Ok(1 + n as usize % 3))).collect();
        answers.push(answer(1000, Err("no".to_owned())));
        let tally = Tally::of(answers);
        assert_eq!((tally.requests, tally.errors.len()), (100, 1));
        assert_eq!((tally.p50.as_millis(), tally.p99.as_millis()), (51, 1000));
        assert_eq!(
            [1, 2, 3, 4].map(|server| tally.percent(server)),
            [Some(33), Some(33), Some(33), None]
        );
        assert_eq!(Tally::of(Vec::new()).percent(1), None);
    }
}
