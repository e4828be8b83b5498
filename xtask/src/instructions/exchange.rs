//! A client and a backend in lockstep, so that the server always does the same work.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

/// The time limit for the server, which runs some fifty times slower than normally.
const PATIENCE: Duration = Duration::from_secs(30);

/// The backend's response, with typical fields.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: backend\r\n\
    Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\
    Connection: keep-alive\r\n\r\nhello\n";

/// Answers every request equally, on any number of connections.
#[derive(Debug)]
pub(super) struct Backend {
    /// The listening port on 127.0.0.1.
    pub(super) port: u16,
}

impl Backend {
    /// Starts the backend on threads that end with this program.
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || answer(stream));
            }
        });
        Ok(Self { port })
    }
}

fn answer(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    while receive(&mut stream, &mut head)? > 0 {
        if head.ends_with(b"\r\n\r\n") {
            stream.write_all(ANSWER)?;
            head.clear();
        }
    }
    Ok(())
}

/// Sends requests on one connection, each after the previous response.
pub(super) fn ask(port: u16, request: &[u8], requests: usize) -> Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = Vec::new();
    for _ in 0..requests {
        stream.write_all(request)?;
        answer.clear();
        while !is_complete(&answer)? {
            if receive(&mut stream, &mut answer)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }
    Ok(())
}

/// Whether the response is complete; any other than a 200 with a length is an error.
fn is_complete(answer: &[u8]) -> Result<bool> {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Ok(false) };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let value = value.trim().parse::<usize>();
        if name.eq_ignore_ascii_case("content-length") { value.ok() } else { None }
    });
    match length {
        Some(length) if head.starts_with("HTTP/1.1 200 ") => Ok(body.len() >= length),
        _ => Err(std::io::Error::other(format!("an invalid response: {head}"))),
    }
}

fn receive(stream: &mut TcpStream, into: &mut Vec<u8>) -> Result<usize> {
    let mut chunk = [0; 8192];
    let count = stream.read(&mut chunk)?;
    into.extend_from_slice(&chunk[..count]);
    Ok(count)
}
