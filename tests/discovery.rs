//! Servers that a source lists: they come and go while requests run, and a source in trouble takes
//! none away.

mod etcd;
mod file;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Backend, Client, Server, Setup, children, until};

const SERVERS: &str = "http/upstreams/app/servers";

/// A server whose upstream "app" has these lines.
fn setup(upstream: &str) -> Setup {
    Server::http(&conf(upstream))
}

fn conf(upstream: &str) -> String {
    format!(
        "keepalive_requests 100000000;
         upstream app {{ zone app 64k; {upstream} }}
         server {{ listen 127.0.0.1:%port%; location /api {{ api write=on; }}
            location / {{ proxy_pass http://app; }} }}"
    )
}

/// The addresses of the servers in the API, sorted.
fn listed(server: &Server) -> Vec<String> {
    let list = server.api_get(SERVERS);
    let shown = list.as_array().unwrap().iter();
    let mut addresses: Vec<_> = shown.map(|it| it["server"].as_str().unwrap().to_owned()).collect();
    addresses.sort();
    addresses
}

/// Waits until the group has these servers. A server that starts waits half a second for the first
/// list, which a busy machine exceeds.
#[track_caller]
fn wait_listed(server: &Server, expected: &[&str]) {
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    until(&format!("the servers {expected:?}"), || listed(server) == expected);
}

/// The server of an address in the API.
#[track_caller]
fn shown(server: &Server, address: &str) -> Value {
    let list = server.api_get(SERVERS);
    let found = list.as_array().unwrap().iter().find(|it| it["server"] == address).cloned();
    found.unwrap_or_else(|| panic!("no {address} in {list}"))
}

/// The number of lines of the error log with a text.
fn lines(server: &Server, text: &str) -> usize {
    server.error_log().lines().filter(|line| line.contains(text)).count()
}

fn worker(server: &Server) -> u32 {
    children(server.pid())[0]
}

/// Requests on one kept connection until it is stopped; each has to be answered with 200.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl Load {
    fn start(server: &Server) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (ends, counts, address) =
            (Arc::clone(&stop), Arc::clone(&done), server.address("port"));
        let thread = std::thread::spawn(move || {
            let mut client = Client::connect(address);
            while !ends.load(Ordering::Relaxed) {
                let status = client.get("/").status;
                if status != 200 {
                    return Err(format!("a request was answered with {status}"));
                }
                counts.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        Self { stop, done, thread: Some(thread) }
    }

    /// Waits for some more requests.
    #[track_caller]
    fn go_on(&self) {
        let before = self.done.load(Ordering::Relaxed);
        until("more requests", || {
            let ended = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
            ended || self.done.load(Ordering::Relaxed) > before + 20
        });
    }

    #[track_caller]
    fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert_eq!(ended.map(|it| it.map_err(|_| ())), Some(Ok(Ok(()))));
    }
}

/// The time until a backend has a request, from a moment on.
#[track_caller]
fn time_to_first(backend: &Backend, since: Instant) -> Duration {
    until("a request at the new server", || backend.count() > 0);
    since.elapsed()
}

fn drain(server: &Server, address: &str) {
    let id = shown(server, address)["id"].clone();
    server.api_json("PATCH", &format!("{SERVERS}/{id}"), &json!({"drain": true}), 200);
}
