//! Upstreams of a configuration: each responds with the received request head.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

/// The maximum length of a body read before the response.
const LONGEST: u64 = 1 << 20;

/// Listens on all addresses.
pub(super) fn start(addresses: &BTreeSet<(String, u16)>) {
    for (host, port) in addresses {
        let Ok(listener) = TcpListener::bind((host.as_str(), *port)) else { continue };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || answer(stream));
            }
        });
    }
}

/// Answers requests until the other side closes or uses another protocol.
fn answer(stream: TcpStream) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let head = head(&mut reader)?;
        let lower = head.to_ascii_lowercase();
        if let Some(rest) = lower.split("\r\ncontent-length:").nth(1) {
            let length: u64 = rest.split("\r\n").next()?.trim().parse().ok()?;
            std::io::copy(&mut reader.by_ref().take(length.min(LONGEST)), &mut std::io::sink())
                .ok()?;
        }
        let body = if head.starts_with("HEAD ") { "" } else { &*head };
        let answer = format!(
            "HTTP/1.1 200 OK\r\nServer: echo\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
             X-Powered-By: echo\r\nSet-Cookie: a=b; Path=/; Secure\r\n\r\n{body}",
            head.len()
        );
        writer.write_all(answer.as_bytes()).ok()?;
    }
}

fn head(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = Vec::new();
    loop {
        let before = head.len();
        reader.by_ref().take(LONGEST).read_until(b'\n', &mut head).ok()?;
        // FastCGI has no method.
        if head.len() == before || !head[0].is_ascii_uppercase() {
            return None;
        }
        if head.ends_with(b"\r\n\r\n") {
            return Some(String::from_utf8_lossy(&head).into_owned());
        }
    }
}
