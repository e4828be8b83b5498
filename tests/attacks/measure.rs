//! A server under attack, and what it pays.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::floods::Flood;
use crate::harness::{
    Backend, Frame, H2Client, Reply, Server, children, frame_kind, own_memory, until,
};

/// The time without progress after which an attack is over.
const QUIET: Duration = Duration::from_secs(2);

/// The bytes per write.
const PIECE: usize = 64 * 1024;

/// The pause between two looks at the server's memory.
const LOOK: Duration = Duration::from_millis(2);

/// The cost of an attack.
pub(crate) struct Cost {
    /// The bytes that a connection has sent.
    pub(crate) sent: usize,
    /// What has become of it.
    pub(crate) end: String,
    /// KiB.
    pub(crate) memory: u64,
    pub(crate) server: Duration,
    pub(crate) attacker: Duration,
}

/// A server before an attack.
pub(crate) struct Victim {
    server: Server,
    _backend: Backend,
    worker: u32,
}

impl Victim {
    pub(crate) fn new(conf: &str) -> Self {
        let backend = Backend::new(|seen| match seen.target() {
            "/hold" => Reply::hold(),
            _ => Reply::ok("fine"),
        });
        let server = Server::http(&format!(
            "http2 on; server {{ listen 127.0.0.1:%port%; {conf}
             location / {{ proxy_pass http://%backend%; }} location /file {{ root %dir%; }}
             location /own {{ return 200 fine; }} }}"
        ))
        .main("worker_processes 1;")
        .set("backend", backend.address())
        .file("file", vec![b'x'; 1_000_000])
        .alerts_expected()
        .start();
        for _ in 0..3 {
            let mut client = H2Client::of(&server);
            assert_eq!(client.get("/").whole().1, "fine");
            assert_eq!(client.get("/file").body.len(), 1_000_000);
        }
        let worker = children(server.pid())[0];
        Self { server, _backend: backend, worker }
    }

    /// Lets an attack happen.
    pub(crate) fn bear(&self, flood: &Flood) -> Cost {
        let (spent, memory) = (self.spent(), own_memory(self.worker));
        let (most, over) = (AtomicU64::new(memory), AtomicBool::new(false));
        let (sent, end, attacker) = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    most.fetch_max(own_memory(self.worker), Ordering::Relaxed);
                    std::thread::park_timeout(LOOK);
                }
            });
            let outcome = self.attack(flood);
            over.store(true, Ordering::Relaxed);
            outcome
        });
        let server = self.spent() - spent;
        let mut client = H2Client::of(&self.server);
        assert_eq!(client.get("/own").whole().1, "fine", "others are served");
        let memory = most.load(Ordering::Relaxed).saturating_sub(memory);
        Cost { sent, end, memory, server, attacker }
    }

    fn attack(&self, flood: &Flood) -> (usize, String, Duration) {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let first = [&preface[..], &Frame::settings(&flood.settings).bytes()].concat();
        let all = [&first[..], &flood.bytes].concat();
        let start = own_time();
        let mut attackers: Vec<Attacker> = (0..flood.connections)
            .map(|_| Attacker::new(&self.server.address("port"), flood.reads))
            .collect();
        let mut progress = Instant::now();
        while progress.elapsed() < QUIET && attackers.iter().any(|one| !one.is_over(&all)) {
            let moved = attackers.iter_mut().filter(|one| !one.is_over(&all));
            // All of them take part.
            if moved.fold(false, |moved, one| one.go_on(&all) | moved) {
                progress = Instant::now();
            } else {
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
        let attacker = own_time() - start;
        self.wait_until_idle();
        let one = &mut attackers[0];
        one.read();
        let sent = one.sent.saturating_sub(first.len()).min(flood.bytes.len());
        (sent, one.end(), attacker)
    }

    /// The CPU time of all threads.
    fn spent(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.worker)).unwrap();
        let spent = tasks.filter_map(|task| {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(spent.sum())
    }

    fn wait_until_idle(&self) {
        let mut before = self.spent();
        until("an idle server", || {
            std::thread::park_timeout(Duration::from_millis(100));
            let now = self.spent();
            now - std::mem::replace(&mut before, now) < Duration::from_millis(1)
        });
    }
}

fn own_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A connection of the attacker.
struct Attacker {
    stream: TcpStream,
    reads: bool,
    sent: usize,
    received: Vec<u8>,
    is_closed: bool,
}

impl Attacker {
    fn new(address: &str, reads: bool) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self { stream, reads, sent: 0, received: Vec::new(), is_closed: false }
    }

    fn is_over(&self, all: &[u8]) -> bool {
        self.is_closed || self.sent == all.len()
    }

    /// Sends and reads what is possible; whether there was anything.
    fn go_on(&mut self, all: &[u8]) -> bool {
        let before = (self.sent, self.received.len());
        let piece = &all[self.sent..all.len().min(self.sent + PIECE)];
        match self.stream.write(piece) {
            Ok(count) => self.sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.is_closed = true,
        }
        if self.reads || self.is_closed {
            self.read();
        }
        before != (self.sent, self.received.len())
    }

    fn read(&mut self) {
        let mut piece = [0; PIECE];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return self.is_closed = true,
                Ok(count) => self.received.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.is_closed = true,
            }
            if self.is_told() {
                self.is_closed = true;
            }
        }
    }

    /// Whether GOAWAY with an error is at the end of what came.
    fn is_told(&self) -> bool {
        self.received.len() < 1 << 20 && self.go_away().is_some_and(|code| code != 0)
    }

    /// The code of the last GOAWAY.
    fn go_away(&self) -> Option<u32> {
        let (mut rest, mut code) = (&self.received[..], None);
        while let Some(head) = rest.first_chunk::<9>() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let Some(payload) = rest.get(9..9 + length) else { break };
            if head[3] == frame_kind::GOAWAY && length >= 8 {
                code = payload[4..8].try_into().ok().map(u32::from_be_bytes);
            }
            rest = &rest[9 + length..];
        }
        code
    }

    fn end(&self) -> String {
        match (self.go_away(), self.is_closed) {
            (Some(11), _) => "ENHANCE_YOUR_CALM".to_owned(),
            (Some(code), _) => format!("GOAWAY, {code}"),
            (None, true) => "closed".to_owned(),
            (None, false) => "borne".to_owned(),
        }
    }
}
