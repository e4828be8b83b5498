//! TLS handshakes: threads that connect, send one request and let the server close.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, HandshakeKind, Stream};

use super::{Count, tls};
use crate::Failure;

/// The number of connections, each with a thread.
const THREADS: usize = 16;

/// The minimum share of handshakes that must be of the measured kind.
const WANTED: f64 = 0.98;

/// The time limit for a response.
const PATIENCE: Duration = Duration::from_secs(10);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Makes connections for the given number of seconds.
pub(super) fn run(port: u16, resumed: bool, seconds: f64) -> Result<Count, Failure> {
    let started = Instant::now();
    let until = started + Duration::from_secs_f64(seconds);
    let clients: Vec<_> =
        (0..THREADS).map(|_| std::thread::spawn(move || client(port, resumed, until))).collect();
    let (mut answered, mut wanted) = (0, 0);
    for client in clients {
        let (all, of_the_kind) = client.join().map_err(|_| "a client panicked")??;
        answered += all;
        wanted += of_the_kind;
    }
    let elapsed = started.elapsed().as_secs_f64();
    if (wanted as f64) < WANTED * answered as f64 {
        return Err(format!("only {wanted} of {answered} handshakes were of the requested kind"));
    }
    Ok(Count { answered, rate: answered as f64 / elapsed, latency: Vec::new() })
}

/// Connects repeatedly; counts connections, and those with the measured kind of handshake.
fn client(port: u16, resumed: bool, until: Instant) -> Result<(u64, u64), Failure> {
    let config = tls::client(resumed)?;
    if resumed {
        // The first handshake is a full one and is not counted.
        connect(port, &config)?;
    }
    let (mut all, mut of_the_kind) = (0, 0);
    while Instant::now() < until {
        let was_resumed = connect(port, &config)? == Some(HandshakeKind::Resumed);
        all += 1;
        of_the_kind += u64::from(was_resumed == resumed);
    }
    Ok((all, of_the_kind))
}

fn connect(port: u16, config: &Arc<ClientConfig>) -> Result<Option<HandshakeKind>, Failure> {
    let failed = |error: std::io::Error| format!("a connection with a handshake: {error}");
    let connection = ClientConnection::new(Arc::clone(config), tls::name());
    let mut connection = connection.map_err(|error| error.to_string())?;
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let mut stream = Stream::new(&mut connection, &mut socket);
    stream.write_all(REQUEST).map_err(failed)?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        // Not every server sends a close_notify.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
        Err(error) => return Err(failed(error)),
    }
    if !answer.ends_with(b"hello\n") {
        return Err(format!("an invalid response: {}", String::from_utf8_lossy(&answer)));
    }
    Ok(connection.handshake_kind())
}
