//! A client that asks every 10 ms on a new connection, whatever has become of the earlier attempts,
//! and notes which node answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::harness::until;

/// The step of the client.
const STEP: Duration = Duration::from_millis(10);

/// The time limit of an attempt: longer than a takeover may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// An attempt: when it began, when it was answered, and by which node.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) began: Instant,
    pub(super) ended: Instant,
    pub(super) answer: Result<char, String>,
}

/// A running client. It belongs to the host of the thread that starts it.
pub(super) struct Asking {
    stop: Arc<AtomicBool>,
    attempts: Arc<Mutex<Vec<Attempt>>>,
    thread: Option<JoinHandle<()>>,
}

impl Asking {
    pub(super) fn start(address: &str) -> Self {
        let address: SocketAddr = address.parse().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let attempts = Arc::new(Mutex::new(Vec::new()));
        let (stopped, noted) = (Arc::clone(&stop), Arc::clone(&attempts));
        let thread = std::thread::spawn(move || {
            let mut due = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                let noted = Arc::clone(&noted);
                std::thread::spawn(move || {
                    let began = Instant::now();
                    let answer = ask(address).map_err(|error| error.to_string());
                    let ended = Instant::now();
                    noted.lock().unwrap().push(Attempt { began, ended, answer });
                });
                due += STEP;
                std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
            }
        });
        Self { stop, attempts, thread: Some(thread) }
    }

    /// Waits until a node answers, and nothing else has for a moment.
    #[track_caller]
    pub(super) fn wait_for(&self, node: &str) {
        let node = node.chars().next();
        let start = Instant::now();
        until(&format!("answers of {node:?} alone"), || {
            let attempts = self.attempts.lock().unwrap();
            let new = attempts.iter().filter(|attempt| attempt.began > start);
            let last: Vec<_> = new.rev().take(20).collect();
            last.len() == 20 && last.iter().all(|last| last.answer.as_ref().ok() == node.as_ref())
        });
    }

    /// The time from `since` to the end of the first answer of a node that came after it.
    #[track_caller]
    pub(super) fn time_to(&self, node: &str, since: Instant) -> Duration {
        let node = node.chars().next();
        let mut took = None;
        until(&format!("an answer of {node:?}"), || {
            let attempts = self.attempts.lock().unwrap();
            let good = attempts.iter().filter(|attempt| {
                attempt.ended > since && attempt.answer.as_ref().ok() == node.as_ref()
            });
            took = good.map(|attempt| attempt.ended - since).min();
            took.is_some()
        });
        took.unwrap()
    }

    /// The longest time since `since` in which no answer came.
    pub(super) fn longest_silence(&self, since: Instant) -> Duration {
        let attempts = self.attempts.lock().unwrap();
        let good = attempts.iter().filter(|attempt| attempt.answer.is_ok());
        let mut ends: Vec<_> = good.map(|one| one.ended).filter(|ended| *ended > since).collect();
        ends.push(since);
        ends.sort();
        ends.windows(2).map(|two| two[1] - two[0]).max().unwrap_or_default()
    }

    /// Everything that was begun between two times, as soon as it has ended.
    pub(super) fn between(&self, from: Instant, to: Instant) -> Vec<Attempt> {
        std::thread::park_timeout((to + PATIENCE).saturating_duration_since(Instant::now()));
        let attempts = self.attempts.lock().unwrap();
        let wanted = attempts.iter().filter(|attempt| attempt.began >= from && attempt.began <= to);
        wanted.cloned().collect()
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One request; returns the first letter of the node's name.
fn ask(address: SocketAddr) -> std::io::Result<char> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /here HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split("\r\n\r\n").nth(1).and_then(|body| body.chars().next());
    let good = body.filter(|_| answer.starts_with("HTTP/1.1 200"));
    good.ok_or_else(|| std::io::Error::other(answer))
}
