//! A scripted server of HTTP/2: each connection is a [`Peer`] in a script.

use std::io::Result;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustls::ServerConfig;

use super::client::PREFACE;
use super::frame::Frame;
use super::peer::{Event, Fields, Peer};
use super::wire::Wire;

type Answer = dyn Fn(&mut Peer, u32, &Fields, Vec<u8>);
type Script = dyn Fn(&mut Peer, usize) -> Result<()> + Send + Sync;

struct Shared {
    script: Box<Script>,
    tls: Option<Arc<ServerConfig>>,
    connections: AtomicUsize,
    streams: Mutex<Vec<TcpStream>>,
    stop: AtomicBool,
}

/// A running server, stopped on drop.
pub(crate) struct H2Upstream {
    shared: Arc<Shared>,
    listener: Arc<TcpListener>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
}

impl H2Upstream {
    /// A cleartext server. A script gets each connection after the client's preface, with its
    /// number from 1, and ends it by returning; it has sent no settings yet.
    pub(crate) fn new(
        script: impl Fn(&mut Peer, usize) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::start(None, script)
    }

    /// A server by TLS with this certificate and key in PEM, and ALPN.
    pub(crate) fn tls(
        certificate: &str,
        key: &str,
        protocols: &[&str],
        script: impl Fn(&mut Peer, usize) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(Wire::config(certificate, key, protocols)), script)
    }

    /// A server with default settings whose `answer` gets each whole request and sends the
    /// response.
    pub(crate) fn answering(
        answer: impl Fn(&mut Peer, u32, &Fields, Vec<u8>) + Send + Sync + 'static,
    ) -> Self {
        Self::new(move |peer, _| {
            peer.frame(&Frame::settings(&[]));
            answer_all(peer, &answer)
        })
    }

    /// Responds 200 with the request: its fields as lines, an empty line and the body.
    pub(crate) fn echo() -> Self {
        Self::answering(echo)
    }

    fn start(
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(&mut Peer, usize) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            tls,
            connections: AtomicUsize::new(0),
            streams: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let (listening, for_acceptor) = (Arc::clone(&listener), Arc::clone(&shared));
        let acceptor = std::thread::spawn(move || {
            while let Ok((stream, _)) = listening.accept() {
                if for_acceptor.stop.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&for_acceptor);
                let number = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
                shared.streams.lock().unwrap().extend(stream.try_clone());
                std::thread::spawn(move || serve(stream, number, &shared));
            }
        });
        Self { shared, listener, address, acceptor: Some(acceptor) }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// The number of accepted connections.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

impl Drop for H2Upstream {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let _ = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for stream in self.shared.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn serve(stream: TcpStream, number: usize, shared: &Shared) {
    let _ = stream.set_nodelay(true);
    let wire = match &shared.tls {
        Some(config) => Wire::accept(stream, config),
        None => Wire::Plain(stream),
    };
    let mut peer = Peer::new(wire);
    if peer.take(PREFACE.len()).is_ok_and(|bytes| bytes == PREFACE) {
        let _ = (shared.script)(&mut peer, number);
    }
    let _ = peer.wire.socket().shutdown(std::net::Shutdown::Both);
}

/// Calls `answer` with each whole request, until the connection ends.
fn answer_all(peer: &mut Peer, answer: &Answer) -> Result<()> {
    let mut begun = std::collections::BTreeMap::new();
    loop {
        let (stream, end) = match peer.event()? {
            Event::Fields { stream, fields, end } => {
                // Trailers do not replace the head.
                begun.entry(stream).or_insert((fields, Vec::new()));
                (stream, end)
            }
            Event::Data { stream, bytes, end } => {
                if let Some((_, body)) = begun.get_mut(&stream) {
                    body.extend(bytes);
                }
                (stream, end)
            }
            Event::Reset { stream, .. } => {
                begun.remove(&stream);
                continue;
            }
            _ => continue,
        };
        if end && let Some((fields, body)) = begun.remove(&stream) {
            answer(peer, stream, &fields, body);
        }
    }
}

fn echo(peer: &mut Peer, stream: u32, fields: &Fields, body: Vec<u8>) {
    let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    peer.fields(stream, &[(":status", "200"), ("content-type", "text/plain")], false);
    let body = [lines.as_bytes(), b"\n", &body].concat();
    let mut pieces = body.chunks(16_384).peekable();
    while let Some(piece) = pieces.next() {
        peer.frame(&Frame::data(stream, piece, pieces.peek().is_none()));
    }
}
