//! The demo's web server: small, real, and easy to stop and restart. `/delay/150` makes it answer
//! 150 ms later from then on, except for `/health`.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

/// The maximum length of a header line.
const LINE: u64 = 64 * 1024;

/// The time limit for an idle connection.
const SILENCE: Duration = Duration::from_secs(60);

/// A server that runs until stopped.
pub(super) struct WebServer {
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    number: usize,
    address: SocketAddr,
    stopped: AtomicBool,
    /// The delay of its answers in milliseconds.
    delay: AtomicU64,
    /// The open connections, closed with the server.
    open: Mutex<Vec<TcpStream>>,
}

impl WebServer {
    /// Serves on a listening socket.
    ///
    /// # Errors
    /// A system error.
    pub(super) fn start(number: usize, listener: TcpListener) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let (stopped, open) = (AtomicBool::new(false), Mutex::default());
        let delay = AtomicU64::new(0);
        let shared = Arc::new(Shared { number, address, stopped, delay, open });
        let accepting = spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept(&listener)
        });
        Ok(Self { shared, accepting })
    }

    /// Ends the server, its connections and its listening socket.
    pub(super) fn stop(self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.shared.address);
        let _ = self.accepting.join();
        for stream in self.shared.connections().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.stopped.load(Ordering::SeqCst) {
                return;
            }
            let Ok(stream) = stream else { continue };
            if let Ok(handle) = stream.try_clone() {
                self.connections().push(handle);
            }
            let shared = Arc::clone(self);
            spawn(move || {
                // The peer is Weir, which handles broken connections.
                let _ = shared.serve(&stream);
                let peer = stream.peer_addr().ok();
                let _ = stream.shutdown(Shutdown::Both);
                shared.connections().retain(|other| other.peer_addr().ok() != peer);
            });
        }
    }

    fn connections(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the requests of a connection, none of which has a body.
    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\n\r\n") {
                let mut line = std::io::Read::take(&mut reader, LINE);
                if line.read_until(b'\n', &mut head)? == 0 || head.len() as u64 > LINE {
                    return Ok(());
                }
            }
            let head = String::from_utf8_lossy(&head);
            let target = head.split(' ').nth(1).unwrap_or("/");
            let client = field(&head, "x-real-ip").unwrap_or("nobody");
            if let Some(delay) = target.strip_prefix("/delay/") {
                self.delay.store(delay.parse().unwrap_or(0), Ordering::Relaxed);
            } else if target != "/health" {
                let delay = self.delay.load(Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(delay));
            }
            let body = format!("server {} answers {target} for {client}\n", self.number);
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
                 X-Server: {}\r\n\r\n{body}",
                self.number
            );
            (&mut &*stream).write_all(answer.as_bytes())?;
        }
    }
}

/// The value of a header field, by its name in any case.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let value = fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    value.map(str::trim)
}
