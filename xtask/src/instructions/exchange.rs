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

/// The response of an application over FastCGI, without a length, as PHP's are: a record of output,
/// one of its end, and one of the request's end.
const APPLICATION: &[u8] = b"\x01\x06\0\x01\0\x4a\x06\0\
    X-Powered-By: PHP/8.2.29\r\nContent-type: text/html; charset=UTF-8\r\n\r\nhello\n\0\0\0\0\0\0\
    \x01\x06\0\x01\0\0\0\0\x01\x03\0\x01\0\x08\0\0\0\0\0\0\0\0\0\0";

/// The first byte of a FastCGI request, and the empty record at its end.
const FASTCGI: u8 = 1;
const END_OF_BODY: &[u8] = b"\x01\x05\0\x01\0\0\0\0";

/// The length of the body of paths that end in `1k`.
const KIBIBYTE: usize = 1024;

/// Answers every request for a path equally, on any number of connections.
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
            let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
            match line.ends_with(b"1k HTTP/1.1") {
                true => stream.write_all(&kibibyte())?,
                false => stream.write_all(ANSWER)?,
            }
            head.clear();
        } else if head.first() == Some(&FASTCGI) && head.ends_with(END_OF_BODY) {
            stream.write_all(APPLICATION)?;
            head.clear();
        }
    }
    Ok(())
}

/// A response of 1 KiB with the fields of a file.
fn kibibyte() -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\nServer: backend\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
        Content-Type: text/plain\r\nContent-Length: 1024\r\n\
        Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nConnection: keep-alive\r\n\
        ETag: \"6955b900-400\"\r\nAccept-Ranges: bytes\r\n\r\n";
    [head.as_bytes(), &[b'x'; KIBIBYTE]].concat()
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

/// Whether the response is complete; any other than a 200 with a length or in chunks is an error.
fn is_complete(answer: &[u8]) -> Result<bool> {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Ok(false) };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let value = value.trim().parse::<usize>();
        if name.eq_ignore_ascii_case("content-length") { value.ok() } else { None }
    });
    let chunked = head.contains("Transfer-Encoding: chunked");
    match length {
        Some(length) if head.starts_with("HTTP/1.1 200 ") => Ok(body.len() >= length),
        None if chunked && head.starts_with("HTTP/1.1 200 ") => Ok(body.ends_with("0\r\n\r\n")),
        _ => Err(std::io::Error::other(format!("an invalid response: {head}"))),
    }
}

fn receive(stream: &mut TcpStream, into: &mut Vec<u8>) -> Result<usize> {
    let mut chunk = [0; 8192];
    let count = stream.read(&mut chunk)?;
    into.extend_from_slice(&chunk[..count]);
    Ok(count)
}
