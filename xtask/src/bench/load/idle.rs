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

/// What the connections speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// HTTP/1.
    Plain,
    /// HTTP/1 over TLS 1.3.
    Tls,
    /// HTTP/2 with prior knowledge.
    H2,
}

/// Opens the connections, leaves them idle and measures the server's memory.
pub(super) fn measure(
    port: u16,
    way: Way,
    connections: usize,
    settle: Duration,
    weigh: &dyn Fn() -> u64,
) -> Result<Idle, Failure> {
    let config = if way == Way::Tls { Some(tls::client(false)?) } else { None };
    let first = open(port, way, 0, config.as_ref())?;
    let before = weigh();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let config = config.clone();
            let mine = (thread..connections).step_by(THREADS);
            std::thread::spawn(move || {
                mine.map(|number| open(port, way, number, config.as_ref()))
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
fn open(
    port: u16,
    way: Way,
    number: usize,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<TcpStream, Failure> {
    let failed = |error: std::io::Error| format!("idle connection {number}: {error}");
    let mut socket = connected(port, number).map_err(failed)?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    match tls {
        Some(config) => {
            let connection = ClientConnection::new(Arc::clone(config), tls::name());
            let mut connection = connection.map_err(|error| error.to_string())?;
            ask(Stream::new(&mut connection, &mut socket)).map_err(failed)?;
        }
        None if way == Way::H2 => ask_by_h2(&mut socket).map_err(failed)?,
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

/// The preface of HTTP/2, empty SETTINGS, and stream 1: GET / of `localhost` by http.
const BEGINNING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
    \0\0\x0e\x01\x05\0\0\0\x01\x82\x86\x84\x41\x09localhost";

/// The acknowledgement of the server's SETTINGS.
const SETTINGS_ACK: &[u8] = b"\0\0\0\x04\x01\0\0\0\0";

/// The bytes of a frame's head.
const HEAD: usize = 9;

/// Asks by HTTP/2 and acknowledges the settings, as every client does.
fn ask_by_h2(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(BEGINNING)?;
    loop {
        let mut head = [0; HEAD];
        stream.read_exact(&mut head)?;
        let [a, b, c, kind, flags, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload)?;
        match (kind, flags & 1) {
            (4, 0) => stream.write_all(SETTINGS_ACK)?,
            // DATA or HEADERS with END_STREAM.
            (0 | 1, 1) => return Ok(()),
            (3 | 7, _) => return Err(std::io::ErrorKind::ConnectionReset.into()),
            _ => {}
        }
    }
}
