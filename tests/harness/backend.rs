//! A real server behind the one under test: scripted responses and a record of requests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::{Chunk, chunk, until_some};

/// A request as the backend received it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// The number of its connection, from 1.
    pub(crate) connection: usize,
    /// The request line and header lines as received.
    pub(crate) head: Vec<u8>,
    /// The request line.
    pub(crate) line: String,
    /// The header fields in order.
    pub(crate) headers: Vec<(String, String)>,
    /// The decoded body.
    pub(crate) body: Vec<u8>,
}

impl Seen {
    /// The value of a header field.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut same = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        same.next().map(|(_, value)| value.as_str())
    }

    /// The request target.
    pub(crate) fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or("")
    }
}

/// The reaction of a backend to a request.
pub(crate) enum Reply {
    /// Sends these bytes and reads the next request.
    Bytes(Vec<u8>),
    /// Sends these bytes and closes.
    Last(Vec<u8>),
    /// Takes over the connection, which is closed afterwards.
    Custom(Box<dyn FnOnce(&mut TcpStream) + Send>),
}

impl Reply {
    /// A 200 response with this body.
    pub(crate) fn ok(body: impl AsRef<[u8]>) -> Self {
        Self::with("200 OK", "", body)
    }

    /// No response: waits until the other side closes.
    pub(crate) fn hold() -> Self {
        Self::Custom(Box::new(|stream| {
            let _ = stream.read(&mut [0]);
        }))
    }

    /// A response with this status, additional header lines (each ending in CRLF) and a body.
    pub(crate) fn with(status: &str, lines: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let length = body.len();
        let mut bytes =
            format!("HTTP/1.1 {status}\r\n{lines}Content-Length: {length}\r\n\r\n").into_bytes();
        bytes.extend_from_slice(body);
        Self::Bytes(bytes)
    }
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

struct Shared {
    handler: Box<Handler>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    streams: Mutex<Vec<TcpStream>>,
    stop: AtomicBool,
}

/// A running backend. Dropping it closes its connections.
pub(crate) struct Backend {
    shared: Arc<Shared>,
    listener: Arc<TcpListener>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
}

impl Backend {
    /// A backend that responds by `handler`.
    pub(crate) fn new(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), handler)
    }

    /// A backend that responds 200 with this text.
    pub(crate) fn text(body: &'static str) -> Self {
        Self::new(move |_| Reply::ok(body))
    }

    /// A backend that responds 200 with the received request.
    pub(crate) fn echo() -> Self {
        Self::new(|seen| {
            let mut body = seen.head.clone();
            body.extend_from_slice(&seen.body);
            Reply::ok(body)
        })
    }

    fn on(listener: TcpListener, handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            streams: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let listener = Arc::new(listener);
        let (listening, for_acceptor) = (Arc::clone(&listener), Arc::clone(&shared));
        let acceptor = std::thread::spawn(move || accept(&listening, &for_acceptor));
        Self { shared, listener, address, acceptor: Some(acceptor) }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// The complete requests in order of arrival.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// The number of complete requests.
    pub(crate) fn count(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    /// The number of accepted connections.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// The last request.
    #[track_caller]
    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().expect("a request has reached the backend")
    }

    /// Waits for the request with this index, from 0.
    #[track_caller]
    pub(crate) fn wait(&self, index: usize) -> Seen {
        until_some("a request at the backend", || self.seen().get(index).cloned())
    }

    /// Forgets the requests so far.
    pub(crate) fn forget(&self) {
        self.shared.seen.lock().unwrap().clear();
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // A process that another test is starting may hold the socket, too, for a moment.
        let _ = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for stream in self.shared.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let _ = stream.set_nodelay(true);
        let connection = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
        shared.streams.lock().unwrap().extend(stream.try_clone());
        let shared = Arc::clone(shared);
        std::thread::spawn(move || serve(stream, connection, &shared));
    }
}

fn serve(mut stream: TcpStream, connection: usize, shared: &Shared) {
    let mut buffer = Vec::new();
    while let Some(mut seen) = read_request(&mut stream, &mut buffer) {
        seen.connection = connection;
        shared.seen.lock().unwrap().push(seen.clone());
        match (shared.handler)(&seen) {
            Reply::Bytes(bytes) => {
                if stream.write_all(&bytes).is_err() {
                    break;
                }
            }
            Reply::Last(bytes) => {
                let _ = stream.write_all(&bytes);
                break;
            }
            Reply::Custom(act) => {
                act(&mut stream);
                break;
            }
        }
    }
    // The clone kept for the end of the test keeps the socket open, so shut it down explicitly.
    let _ = stream.shutdown(std::net::Shutdown::Both);
}

fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    let end = loop {
        match buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            Some(end) => break end + 4,
            None => more(stream, buffer)?,
        }
    };
    let head: Vec<u8> = buffer.drain(..end).collect();
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.split("\r\n");
    let line = lines.next()?.to_owned();
    let pairs = lines.filter_map(|line| line.split_once(':'));
    let headers = pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    let mut seen = Seen { head, line, headers, ..Seen::default() };
    if seen.header("Transfer-Encoding").is_some() {
        seen.body = read_chunked(stream, buffer)?;
    } else if let Some(length) = seen.header("Content-Length") {
        let length = length.parse().ok()?;
        while buffer.len() < length {
            more(stream, buffer)?;
        }
        seen.body = buffer.drain(..length).collect();
    }
    Some(seen)
}

fn read_chunked(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let Some(Chunk { data, end }) = chunk(buffer).ok()? else {
            more(stream, buffer)?;
            continue;
        };
        let is_last = data.is_empty();
        body.extend_from_slice(&buffer[data]);
        buffer.drain(..end);
        if is_last {
            return Some(body);
        }
    }
}

fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let mut chunk = [0; 16 * 1024];
    let count = stream.read(&mut chunk).ok().filter(|&count| count > 0)?;
    buffer.extend_from_slice(&chunk[..count]);
    Some(())
}
