//! Requests at a fixed rate, whether the server keeps up or not.
//!
//! The time of a request counts from its scheduled start, not from when a connection is free: a
//! server that stalls pays for all requests scheduled meanwhile.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::Failure;

/// The number of kept connections.
const CONNECTIONS: usize = 64;

/// The time limit for outstanding responses at the end.
const PATIENCE: Duration = Duration::from_secs(5);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The times of the requests.
#[derive(Debug)]
pub(in crate::bench) struct Times {
    /// The responses per second.
    pub(in crate::bench) rate: f64,
    /// In ascending order.
    times: Vec<Duration>,
}

impl Times {
    /// The number of responses.
    pub(in crate::bench) fn answered(&self) -> u64 {
        self.times.len() as u64
    }

    /// The time within which this share of the requests were answered.
    pub(in crate::bench) fn within(&self, share: f64) -> Duration {
        let at = (self.times.len() as f64 * share) as usize;
        let last = self.times.len().saturating_sub(1);
        self.times.get(at.min(last)).copied().unwrap_or_default()
    }
}

/// Sends `rate` requests a second for the given number of seconds.
pub(in crate::bench) fn run(port: u16, rate: f64, seconds: f64) -> Result<Times, Failure> {
    // By default, timers are up to 50 µs late.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let failed = |error: std::io::Error| format!("the paced load: {error}");
    let mut generator = Generator::new(port, rate).map_err(failed)?;
    let started = Instant::now();
    let requests = ((rate * seconds) as u64).max(1);
    generator.run(started, requests).map_err(failed)?;
    let elapsed = started.elapsed().as_secs_f64();
    let mut times = generator.times;
    times.sort_unstable();
    Ok(Times { rate: times.len() as f64 / elapsed, times })
}

struct Generator {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    /// Connections without a request, longest idle first.
    free: VecDeque<usize>,
    interval: f64,
    times: Vec<Duration>,
}

struct Connection {
    stream: TcpStream,
    /// The scheduled time of its request.
    due: Instant,
    answer: Vec<u8>,
}

impl Generator {
    fn new(port: u16, rate: f64) -> std::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::new();
        for number in 0..CONNECTIONS {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let data = epoll::EventData::new_u64(number as u64);
            epoll::add(&epoll, &stream, data, epoll::EventFlags::IN)?;
            connections.push(Connection { stream, due: Instant::now(), answer: Vec::new() });
        }
        let free = (0..CONNECTIONS).collect();
        Ok(Self { epoll, connections, free, interval: 1.0 / rate, times: Vec::new() })
    }

    fn run(&mut self, started: Instant, requests: u64) -> std::io::Result<()> {
        let due = |number: u64, interval: f64| {
            started + Duration::from_secs_f64(number as f64 * interval)
        };
        let end = due(requests, self.interval) + PATIENCE;
        let mut sent = 0;
        let mut events = Vec::with_capacity(CONNECTIONS);
        while (self.times.len() as u64) < requests {
            let now = Instant::now();
            if now > end {
                return Err(ErrorKind::TimedOut.into());
            }
            while sent < requests && due(sent, self.interval) <= now {
                let Some(number) = self.free.pop_front() else { break };
                self.send(number, due(sent, self.interval))?;
                sent += 1;
            }
            let next = if sent < requests && !self.free.is_empty() {
                due(sent, self.interval)
            } else {
                end
            };
            self.wait(next, &mut events)?;
        }
        Ok(())
    }

    fn send(&mut self, number: usize, due: Instant) -> std::io::Result<()> {
        let connection = &mut self.connections[number];
        connection.due = due;
        // The request is far smaller than a socket's buffer.
        connection.stream.write_all(REQUEST)
    }

    /// Receives responses until a given time.
    fn wait(&mut self, until: Instant, events: &mut Vec<epoll::Event>) -> std::io::Result<()> {
        let rest = until.saturating_duration_since(Instant::now());
        let rest =
            Timespec { tv_sec: rest.as_secs() as i64, tv_nsec: i64::from(rest.subsec_nanos()) };
        epoll::wait(&self.epoll, spare_capacity(events), Some(&rest))?;
        for event in events.drain(..) {
            let number = event.data.u64() as usize;
            let connection = &mut self.connections[number];
            if connection.receive()? {
                self.times.push(connection.due.elapsed());
                self.free.push_back(number);
            }
        }
        Ok(())
    }
}

impl Connection {
    /// Whether the response is complete.
    fn receive(&mut self) -> std::io::Result<bool> {
        let mut chunk = [0; 1024];
        match self.stream.read(&mut chunk)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => self.answer.extend_from_slice(&chunk[..count]),
        }
        let complete = self.answer.ends_with(b"hello\n");
        if complete {
            self.answer.clear();
        }
        Ok(complete)
    }
}
