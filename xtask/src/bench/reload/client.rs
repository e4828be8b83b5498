//! A client that regularly requests the generation of the configuration.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::Failure;

/// The interval of requests.
const EVERY: Duration = Duration::from_millis(5);

/// The time limit for a response.
const PATIENCE: Duration = Duration::from_secs(60);

/// The location that responds with the generation.
pub(super) fn location(generation: u64) -> String {
    format!("location = /generation {{ return 200 {generation}; }}\n")
}

/// The generation in the response to a new connection.
pub(super) fn ask(port: u16) -> std::io::Result<u64> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /generation HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.rsplit("\r\n").next().and_then(|body| body.parse().ok());
    body.ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}

/// Retries until there is a response; returns the time it took.
pub(super) fn first_answer(port: u16, since: Instant) -> Result<Duration, Failure> {
    while ask(port).is_err() {
        if since.elapsed() > PATIENCE {
            return Err("the server does not answer".to_owned());
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    Ok(since.elapsed())
}

/// The client's observations of a reload.
#[derive(Debug)]
pub(super) struct Seen {
    /// The maximum time from a request's scheduled start to the end of its response.
    pub(super) worst: Duration,
    /// The time until the new configuration responded.
    pub(super) in_force: Duration,
}

/// Sends a request every five milliseconds until `generation` has responded once and `after` has
/// passed since.
pub(super) fn watch(port: u16, generation: u64, after: Duration) -> Result<Seen, Failure> {
    let started = Instant::now();
    let mut worst = Duration::ZERO;
    let mut in_force = None;
    let mut due = started;
    loop {
        let wait = due.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
        let answered = ask(port).map_err(|error| format!("during a reload: {error}"))?;
        worst = worst.max(due.elapsed());
        let elapsed = started.elapsed();
        if answered == generation {
            let first = *in_force.get_or_insert(elapsed);
            if elapsed > first + after {
                return Ok(Seen { worst, in_force: first });
            }
        } else if elapsed > PATIENCE {
            return Err(format!("generation {generation} does not come into force"));
        }
        due += EVERY;
    }
}
