//! A scripted memcached.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// The reaction to a request.
pub(super) enum Say {
    /// Sends these bytes and reads the next request.
    Bytes(Vec<u8>),
    /// Sends these bytes and closes.
    Last(Vec<u8>),
    /// Sends the first bytes, and the rest on [`Scripted::go_on`].
    Later(Vec<u8>, Vec<u8>),
    /// Waits until the other side closes.
    Hold,
}

impl Say {
    /// A value with its flags.
    pub(super) fn value(key: &str, flags: u32, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        let head = format!("VALUE {key} {flags} {}\r\n", value.len());
        Self::Bytes([head.as_bytes(), value, b"\r\nEND\r\n"].concat())
    }

    /// These exact bytes.
    pub(super) fn text(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }
}

type Script = dyn Fn(&str) -> Say + Send + Sync;

struct Shared {
    script: Box<Script>,
    seen: Mutex<Vec<String>>,
    connections: AtomicUsize,
    go_on: Mutex<Receiver<()>>,
    stop: AtomicBool,
}

/// A running scripted server, stopped on drop.
pub(super) struct Scripted {
    shared: Arc<Shared>,
    go_on: Option<Sender<()>>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
}

impl Scripted {
    /// A server that reacts to each line by `script`.
    pub(super) fn new(script: impl Fn(&str) -> Say + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (go_on, waits) = channel();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            go_on: Mutex::new(waits),
            stop: AtomicBool::new(false),
        });
        let for_acceptor = Arc::clone(&shared);
        let acceptor = std::thread::spawn(move || accept(&listener, &for_acceptor));
        Self { shared, go_on: Some(go_on), address, acceptor: Some(acceptor) }
    }

    /// `127.0.0.1:PORT`.
    pub(super) fn address(&self) -> String {
        self.address.to_string()
    }

    /// The received lines without their ends.
    pub(super) fn seen(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// The number of connections.
    pub(super) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Sends the rest of [`Say::Later`].
    pub(super) fn go_on(&self) {
        self.go_on.as_ref().unwrap().send(()).unwrap();
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.go_on = None;
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let _ = stream.set_nodelay(true);
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(shared);
        std::thread::spawn(move || serve(stream, &shared));
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) {
    let Ok(reading) = stream.try_clone() else { return };
    let mut lines = BufReader::new(reading);
    let mut line = String::new();
    while lines.read_line(&mut line).is_ok_and(|count| count > 0) {
        let request = line.strip_suffix("\r\n").expect("a request ends in CRLF");
        shared.seen.lock().unwrap().push(request.to_owned());
        let (first, rest) = match (shared.script)(request) {
            Say::Bytes(bytes) => (bytes, None),
            Say::Later(first, rest) => (first, Some(rest)),
            Say::Last(bytes) => {
                let _ = stream.write_all(&bytes);
                return;
            }
            Say::Hold => (Vec::new(), None),
        };
        if stream.write_all(&first).is_err() {
            return;
        }
        if let Some(rest) = rest
            && (shared.go_on.lock().unwrap().recv().is_err() || stream.write_all(&rest).is_err())
        {
            return;
        }
        line.clear();
    }
}
