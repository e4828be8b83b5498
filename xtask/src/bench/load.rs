//! The load: wrk for requests, and our own idle connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use super::side::Running;
use crate::Failure;

/// Keepalive connections of the load.
const CONNECTIONS: &str = "64";

/// Seconds before a measurement, in which pools fill.
pub(super) const WARM_UP: u32 = 1;

/// Seconds of a measurement.
pub(super) const SECONDS: u32 = 5;

/// Idle connections; three descriptors for each stay within 20,000.
const IDLE: usize = 5000;

/// What the load generator counted.
#[derive(Debug)]
pub(super) struct Load {
    /// Requests answered.
    pub(super) requests: u64,
    /// Requests in a second.
    pub(super) rate: f64,
}

/// Runs wrk for so many seconds.
pub(super) fn wrk(port: u16, seconds: u32) -> Result<Load, Failure> {
    let duration = format!("{seconds}s");
    let url = format!("http://127.0.0.1:{port}/");
    let output = Command::new("wrk")
        .args(["--threads", "1", "--connections", CONNECTIONS, "--duration", &duration, &url])
        .output()
        .map_err(|error| format!("wrk: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(format!("requests failed:\n{text}"));
    }
    let requests = text.lines().find(|line| line.contains(" requests in "));
    let requests = requests.and_then(|line| line.split_whitespace().next()?.parse().ok());
    let rate = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    let rate = rate.and_then(|rate| rate.trim().parse().ok());
    match (requests, rate) {
        (Some(requests), Some(rate)) => Ok(Load { requests, rate }),
        _ => Err(format!("wrk said:\n{text}")),
    }
}

/// Bytes of memory that an idle connection costs, after one request on it.
pub(super) fn idle(server: &Running) -> Result<f64, Failure> {
    let failed = |error: std::io::Error| format!("an idle connection: {error}");
    one_request(server.port).map_err(failed)?;
    let before = server.memory();
    let kept: Result<Vec<TcpStream>, _> = (0..IDLE).map(|_| one_request(server.port)).collect();
    let kept = kept.map_err(failed)?;
    let after = server.memory();
    Ok(after.saturating_sub(before) as f64 / kept.len() as f64)
}

/// Asks once on a connection of its own, and keeps it.
fn one_request(port: u16) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while !answer.ends_with(b"hello\n") {
        match stream.read(&mut chunk)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => answer.extend_from_slice(&chunk[..count]),
        }
    }
    Ok(stream)
}
