//! Idle connections: opened, used for one request, and left idle.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};
use rustls::{ClientConfig, ClientConnection, Stream};

use super::tls;
use crate::Failure;

/// Connections per source address; the kernel has 28,000 ports for each.
const PER_ADDRESS: usize = 5_000;

/// The number of threads, and so of connections being opened at once.
const THREADS: usize = 16;

/// The time limit for a response.
const PATIENCE: Duration = Duration::from_secs(10);

/// Memory in bytes.
#[derive(Debug)]
pub(super) struct Idle {
    /// The memory per connection.
    pub(super) each: f64,
    /// The total memory with the connections.
    pub(super) all: f64,
}

/// Opens the connections, leaves them idle and measures the server's memory.
pub(super) fn measure(
    port: u16,
    tls: bool,
    connections: usize,
    settle: Duration,
    weigh: &dyn Fn() -> u64,
) -> Result<Idle, Failure> {
    let config = if tls { Some(tls::client(false)?) } else { None };
    let first = open(port, 0, config.as_ref())?;
    let before = weigh();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let config = config.clone();
            let mine = (thread..connections).step_by(THREADS);
            std::thread::spawn(move || {
                mine.map(|number| open(port, number, config.as_ref()))
                    .collect::<Result<Vec<_>, _>>()
            })
        })
        .collect();
    let mut kept = vec![first];
    for thread in threads {
        kept.extend(thread.join().map_err(|_| "a client panicked")??);
    }
    std::thread::park_timeout(settle);
    let after = weigh();
    check(&kept)?;
    let each = after.saturating_sub(before) as f64 / connections as f64;
    Ok(Idle { each, all: after as f64 })
}

/// Fails if the server closed connections, which would lower its memory.
fn check(kept: &[TcpStream]) -> Result<(), Failure> {
    let closed = kept.iter().filter(|stream| {
        let mut byte = [0];
        let _ = stream.set_nonblocking(true);
        matches!(stream.peek(&mut byte), Ok(0))
    });
    match closed.count() {
        0 => Ok(()),
        closed => Err(format!("{closed} of {} idle connections were closed", kept.len())),
    }
}

/// Opens a connection and sends one request. Of TLS, only the socket is kept: no more data is sent.
fn open(port: u16, number: usize, tls: Option<&Arc<ClientConfig>>) -> Result<TcpStream, Failure> {
    let failed = |error: std::io::Error| format!("idle connection {number}: {error}");
    let mut socket = connected(port, number).map_err(failed)?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    match tls {
        Some(config) => {
            let connection = ClientConnection::new(Arc::clone(config), tls::name());
            let mut connection = connection.map_err(|error| error.to_string())?;
            ask(Stream::new(&mut connection, &mut socket)).map_err(failed)?;
        }
        None => ask(&mut socket).map_err(failed)?,
    }
    Ok(socket)
}

/// Connects from one of several addresses.
fn connected(port: u16, number: usize) -> std::io::Result<TcpStream> {
    let address = (number / PER_ADDRESS + 1) as u8;
    let from = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, address), 0);
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    // Closed by a reset: otherwise the ports would be in use for a minute, and the next round needs
    // them.
    sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
    bind(&socket, &from)?;
    connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    Ok(socket.into())
}

fn ask(mut stream: impl Read + Write) -> std::io::Result<()> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut chunk = [0; 1024];
    while !answer.ends_with(b"hello\n") {
        match stream.read(&mut chunk)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => answer.extend_from_slice(&chunk[..count]),
        }
    }
    Ok(())
}
