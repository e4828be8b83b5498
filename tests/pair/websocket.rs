//! A WebSocket over the address: a server in front that sends back what it gets, and a client.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::*;
use crate::harness::PATIENCE;

/// The location that passes WebSockets to an [`Echo`].
pub(super) fn location(echo: &Echo) -> String {
    format!(
        "location /echo {{ proxy_pass http://{}; proxy_http_version 1.1;
             proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
             proxy_read_timeout 1h; }}",
        echo.address
    )
}

/// Switches protocols, and sends everything back. On the host of the thread that starts it.
pub(super) struct Echo {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("192.168.56.10:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let accept = move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::spawn(move || echo(stream));
            }
        };
        Self { address, stop, thread: Some(std::thread::spawn(accept)) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    read_head(&mut stream)?;
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    stream.write_all(answer.as_bytes())?;
    let mut bytes = [0; 1024];
    loop {
        match stream.read(&mut bytes)? {
            0 => return Ok(()),
            count => stream.write_all(&bytes[..count])?,
        }
    }
}

/// Reads to the end of a head.
fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// A client's WebSocket.
pub(super) struct WebSocket(TcpStream);

impl WebSocket {
    /// Opens one over the address.
    pub(super) fn open() -> Self {
        let mut stream = TcpStream::connect((ADDRESS, 80)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request =
            "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let head = read_head(&mut stream).unwrap();
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        Self(stream)
    }

    /// Sends a message and waits for it to come back.
    pub(super) fn talk(&mut self) -> io::Result<()> {
        self.0.write_all(b"a message")?;
        let mut back = [0; 9];
        self.0.read_exact(&mut back)?;
        assert_eq!(&back, b"a message");
        Ok(())
    }

    /// Talks on a thread of its own until [`Talking::end`].
    pub(super) fn keep_talking(mut self) -> Talking {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut messages = 0;
            while !stopped.load(Ordering::Relaxed) {
                self.talk()?;
                messages += 1;
                std::thread::park_timeout(Duration::from_millis(2));
            }
            Ok((self, messages))
        });
        Talking { stop, thread }
    }
}

/// A WebSocket that is in use.
pub(super) struct Talking {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<(WebSocket, usize)>>,
}

impl Talking {
    /// The WebSocket and the number of its messages.
    ///
    /// # Errors
    /// It was cut.
    pub(super) fn end(self) -> io::Result<(WebSocket, usize)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
