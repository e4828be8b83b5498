//! A scripted application: a server of FastCGI, SCGI or uwsgi that answers whole requests.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A request as received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Called {
    /// Its parameters, in order.
    pub(crate) params: Vec<(String, String)>,
    /// Its body.
    pub(crate) body: Vec<u8>,
    /// All bytes.
    pub(crate) bytes: Vec<u8>,
}

impl Called {
    /// The value of the first parameter with this name; empty if there is none.
    pub(crate) fn param(&self, name: &str) -> &str {
        let found = self.params.iter().find(|(other, _)| other == name);
        found.map_or("", |(_, value)| value)
    }
}

/// What an application does with a request.
pub(crate) enum Answer {
    /// Sends these bytes and reads the next request.
    Bytes(Vec<u8>),
    /// Sends these bytes and closes.
    Last(Vec<u8>),
    /// Sends the first bytes at once, each of the others on [`Application::go_on`], and closes.
    Parts(Vec<Vec<u8>>),
    /// Waits until the other side closes.
    Hold,
}

/// Reads a request from its bytes; None while it is incomplete.
type Parse = fn(&[u8]) -> Option<Called>;
type Script = dyn Fn(&Called) -> Answer + Send + Sync;

struct Shared {
    parse: Parse,
    script: Box<Script>,
    seen: Mutex<Vec<Called>>,
    connections: AtomicUsize,
    go_on: Mutex<Receiver<()>>,
    stop: AtomicBool,
}

/// A running application, stopped on drop.
pub(crate) struct Application {
    shared: Arc<Shared>,
    go_on: Option<Sender<()>>,
    place: Place,
    acceptor: Option<JoinHandle<()>>,
}

enum Place {
    Port(SocketAddr),
    Socket(PathBuf),
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

impl Application {
    /// An application on a port, whose requests `parse` reads and `script` answers.
    pub(crate) fn new(
        parse: Parse,
        script: impl Fn(&Called) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = Place::Port(listener.local_addr().unwrap());
        let accept = move || {
            let (stream, _) = listener.accept().ok()?;
            let _ = stream.set_nodelay(true);
            Some(Box::new(stream) as Box<dyn Stream>)
        };
        Self::start(place, accept, parse, script)
    }

    /// An application on a unix socket.
    pub(crate) fn at_socket(
        path: &Path,
        parse: Parse,
        script: impl Fn(&Called) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        // The worker has another user.
        std::fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
        let accept = move || Some(Box::new(listener.accept().ok()?.0) as Box<dyn Stream>);
        Self::start(Place::Socket(path.to_owned()), accept, parse, script)
    }

    fn start(
        place: Place,
        accept: impl Fn() -> Option<Box<dyn Stream>> + Send + 'static,
        parse: Parse,
        script: impl Fn(&Called) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let (go_on, waits) = channel();
        let shared = Arc::new(Shared {
            parse,
            script: Box::new(script),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            go_on: Mutex::new(waits),
            stop: AtomicBool::new(false),
        });
        let for_acceptor = Arc::clone(&shared);
        let acceptor = std::thread::spawn(move || {
            while let Some(stream) = accept() {
                if for_acceptor.stop.load(Ordering::Relaxed) {
                    return;
                }
                for_acceptor.connections.fetch_add(1, Ordering::Relaxed);
                let shared = Arc::clone(&for_acceptor);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { shared, go_on: Some(go_on), place, acceptor: Some(acceptor) }
    }

    /// The address, for a `…_pass`.
    pub(crate) fn address(&self) -> String {
        match &self.place {
            Place::Port(address) => address.to_string(),
            Place::Socket(path) => format!("unix:{}", path.display()),
        }
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Called> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// The last request.
    pub(crate) fn last(&self) -> Called {
        self.seen().pop().expect("there was a request")
    }

    /// The number of connections.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Sends the next of [`Answer::Parts`].
    pub(crate) fn go_on(&self) {
        self.go_on.as_ref().unwrap().send(()).unwrap();
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.go_on = None;
        match &self.place {
            Place::Port(address) => drop(TcpStream::connect(address)),
            Place::Socket(path) => drop(UnixStream::connect(path)),
        }
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn serve(mut stream: Box<dyn Stream>, shared: &Shared) {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        while let Some(called) = (shared.parse)(&bytes) {
            bytes.drain(..called.bytes.len());
            let answer = (shared.script)(&called);
            shared.seen.lock().unwrap().push(called);
            let (parts, last) = match answer {
                Answer::Bytes(bytes) => (vec![bytes], false),
                Answer::Last(bytes) => (vec![bytes], true),
                Answer::Parts(parts) => (parts, true),
                Answer::Hold => (Vec::new(), false),
            };
            for (at, part) in parts.iter().enumerate() {
                let goes_on = at == 0 || shared.go_on.lock().unwrap().recv().is_ok();
                if !goes_on || stream.write_all(part).is_err() {
                    return;
                }
            }
            if last {
                return;
            }
        }
        match stream.read(&mut buffer) {
            Ok(1..) if bytes.len() > LARGEST => return,
            Ok(count @ 1..) => bytes.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
}

/// The largest request of a test, in bytes.
const LARGEST: usize = 64 << 20;
