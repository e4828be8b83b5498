//! An upstream of both sides: reacts as specified and records all received bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::net::sockopt;

use super::applications::{self, Protocol};
use super::case::{Act, Reply};
use super::messages;
use crate::harness::{PATIENCE, chunk};

/// The time for a piece to arrive before the next is sent. The result must not depend on it: it is
/// the same if the pieces arrive together.
const PAUSE: Duration = Duration::from_millis(20);

/// Data received on a connection.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// It is the first of its connection.
    pub(crate) first: bool,
    /// A received request, or the event instead of one.
    pub(crate) bytes: Vec<u8>,
    /// The request was complete.
    pub(crate) whole: bool,
    protocol: Protocol,
    /// The number of a relay's connection.
    connection: usize,
}

impl Received {
    /// The request as text.
    pub(crate) fn render(&self) -> String {
        match self.protocol {
            Protocol::Http => messages::render(&self.bytes, &[]),
            other => applications::render(other, &self.bytes),
        }
    }
}

struct Shared {
    replies: Vec<Reply>,
    seen: Mutex<Vec<Received>>,
    stop: AtomicBool,
    connections: AtomicUsize,
    /// The number of connections on which a part of a request has arrived.
    under_way: AtomicUsize,
}

/// A running upstream.
pub(crate) struct Upstream {
    shared: Arc<Shared>,
    /// The listening address.
    pub(crate) port: u16,
}

impl Upstream {
    /// Starts an upstream on a port of its own.
    pub(crate) fn start(replies: Vec<Reply>) -> Self {
        Self::accept(replies, serve)
    }

    fn accept(
        replies: Vec<Reply>,
        serve: impl Fn(TcpStream, &Shared) + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            replies,
            seen: Mutex::default(),
            stop: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.stop.load(Ordering::Relaxed) {
                    return;
                }
                let (shared, serve) = (Arc::clone(&accepting), serve.clone());
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { shared, port }
    }

    /// Starts a relay to a real application, which records what passes.
    pub(crate) fn relay(protocol: Protocol, socket: PathBuf) -> Self {
        Self::accept(Vec::new(), move |stream, shared| relay(stream, protocol, &socket, shared))
    }

    /// The number of requests since the last [`Self::take`].
    pub(crate) fn count(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    /// Whether a request has arrived in part, so that it is not among those received.
    pub(crate) fn is_receiving(&self) -> bool {
        self.shared.under_way.load(Ordering::Relaxed) > 0
    }

    /// The data received since the last call.
    pub(crate) fn take(&self) -> Vec<Received> {
        std::mem::take(&mut self.shared.seen.lock().unwrap())
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) {
    let _ = stream.set_nodelay(true);
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let mut input = Input { buffer: Vec::new(), taken: 0 };
    let mut first = true;
    let mut keep = |input: &mut Input, whole| {
        let bytes = input.take();
        if !bytes.is_empty() {
            let protocol = Protocol::Http;
            shared.seen.lock().unwrap().push(Received {
                first,
                bytes,
                whole,
                protocol,
                connection: 0,
            });
            first = false;
        }
    };
    loop {
        if input.buffer.is_empty() && input.more(&mut stream).is_none() {
            return;
        }
        let under_way = UnderWay::begin(&shared.under_way);
        if input.head(&mut stream).is_none() {
            return keep(&mut input, false);
        }
        let reply = reply(&shared.replies, &input.buffer);
        let early = reply.acts.iter().any(|act| matches!(act, Act::Early));
        let is_head = input.buffer.starts_with(b"HEAD ");
        let whole = early || input.body(&mut stream).is_some();
        keep(&mut input, whole);
        drop(under_way);
        if !whole || !perform(&mut stream, &reply.acts, is_head) {
            return;
        }
        if early {
            // The amount of body that still arrives depends on timing.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
            return;
        }
    }
}

/// A request that is being received.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Copies both directions until the application closes. What comes on one connection between two
/// calls of [`Upstream::take`] is one request.
fn relay(mut stream: TcpStream, protocol: Protocol, socket: &Path, shared: &Shared) {
    let _ = stream.set_nodelay(true);
    let (Ok(application), Ok(mut back)) = (UnixStream::connect(socket), stream.try_clone()) else {
        return;
    };
    let mut answers = application.try_clone().expect("a descriptor");
    let answering = std::thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Write);
    });
    let connection = shared.connections.fetch_add(1, Ordering::Relaxed);
    let mut chunk = [0; 16 * 1024];
    let mut first = true;
    while let Ok(count @ 1..) = stream.read(&mut chunk) {
        let bytes = &chunk[..count];
        {
            let mut seen = shared.seen.lock().unwrap();
            match seen.iter_mut().find(|received| received.connection == connection) {
                Some(received) => received.bytes.extend_from_slice(bytes),
                None => {
                    let bytes = bytes.to_vec();
                    seen.push(Received { first, bytes, whole: true, protocol, connection });
                }
            }
        }
        first = false;
        if (&application).write_all(bytes).is_err() {
            break;
        }
    }
    let _ = application.shutdown(Shutdown::Write);
    let _ = answering.join();
}

fn reply(replies: &[Reply], request: &[u8]) -> Reply {
    let line = request.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let found = replies.iter().find(|reply| line.contains(&reply.key));
    found.cloned().unwrap_or_else(|| Reply {
        key: String::new(),
        acts: vec![Act::Ordinary(b"upstream\n".to_vec())],
    })
}

/// Performs a reply; returns `false` when the connection is over.
fn perform(stream: &mut TcpStream, acts: &[Act], is_head: bool) -> bool {
    for act in acts {
        match act {
            Act::Send(bytes) => {
                if stream.write_all(bytes).is_err() {
                    return false;
                }
            }
            Act::Page(bytes) => {
                let end = bytes.windows(4).position(|end| end == b"\r\n\r\n");
                let end = end.filter(|_| is_head).map_or(bytes.len(), |end| end + 4);
                if stream.write_all(&bytes[..end]).is_err() {
                    return false;
                }
            }
            Act::Ordinary(body) => {
                let body: &[u8] = if is_head { b"" } else { body };
                if stream.write_all(&ordinary(body)).is_err() {
                    return false;
                }
            }
            Act::Pause => std::thread::park_timeout(PAUSE),
            Act::Early => {}
            Act::Close => {
                let _ = stream.shutdown(Shutdown::Both);
                return false;
            }
            Act::Reset => {
                let _ = sockopt::set_socket_linger(&*stream, Some(Duration::ZERO));
                return false;
            }
            Act::Hold => {
                let _ = stream.read(&mut [0]);
                return false;
            }
            Act::Echo => {
                let mut chunk = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut chunk) {
                    if stream.write_all(&chunk[..count]).is_err() {
                        break;
                    }
                }
                return false;
            }
        }
    }
    true
}

/// A 200 response with this body.
fn ordinary(body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// Received data, from which complete requests are removed.
struct Input {
    buffer: Vec<u8>,
    /// The length of the first request in the buffer.
    taken: usize,
}

impl Input {
    fn take(&mut self) -> Vec<u8> {
        let taken = if self.taken == 0 { self.buffer.len() } else { self.taken };
        self.taken = 0;
        self.buffer.drain(..taken).collect()
    }

    /// Reads a head, which for memcached is a single line.
    fn head(&mut self, stream: &mut TcpStream) -> Option<()> {
        loop {
            let end: &[u8] = match self.buffer.starts_with(b"get ") {
                true => b"\r\n",
                false => b"\r\n\r\n",
            };
            if let Some(at) = self.buffer.windows(end.len()).position(|bytes| bytes == end) {
                self.taken = at + end.len();
                return Some(());
            }
            self.more(stream)?;
        }
    }

    /// Reads the body that the head describes.
    fn body(&mut self, stream: &mut TcpStream) -> Option<()> {
        let head = String::from_utf8_lossy(&self.buffer[..self.taken]).to_ascii_lowercase();
        if head.contains("\r\ntransfer-encoding:") {
            return self.chunks(stream);
        }
        let length = head.split("\r\ncontent-length:").nth(1);
        let length = length.and_then(|rest| rest.split("\r\n").next()?.trim().parse().ok());
        let end = self.taken + length.unwrap_or(0);
        while self.buffer.len() < end {
            self.taken = 0;
            self.more(stream)?;
        }
        self.taken = end;
        Some(())
    }

    fn chunks(&mut self, stream: &mut TcpStream) -> Option<()> {
        let mut at = std::mem::take(&mut self.taken);
        loop {
            let Some(chunk) = chunk(&self.buffer[at..]).ok()? else {
                self.more(stream)?;
                continue;
            };
            at += chunk.end;
            if chunk.data.is_empty() {
                self.taken = at;
                return Some(());
            }
        }
    }

    fn more(&mut self, stream: &mut TcpStream) -> Option<()> {
        let mut chunk = [0; 16 * 1024];
        let count = stream.read(&mut chunk).ok().filter(|&count| count > 0)?;
        self.buffer.extend_from_slice(&chunk[..count]);
        Some(())
    }
}
