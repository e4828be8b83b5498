//! Reloads and killed workers under load: no request may be affected.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use crate::harness::{
    Backend, Certificate, Client, Reply, Server, Signal, children, is_nginx, memory, run,
    send_signal, until,
};

/// The duration of the storm; `WEIR_TESTS_STORM_SECONDS` extends it.
const STORM: Duration = Duration::from_secs(20);

/// The interval of reloads.
const PERIOD: Duration = Duration::from_millis(200);

/// The rate of the slow download, in bytes per second.
const SLOW: usize = 20_000;

fn seconds() -> Duration {
    let asked = std::env::var("WEIR_TESTS_STORM_SECONDS").ok().and_then(|text| text.parse().ok());
    asked.map_or(STORM, Duration::from_secs)
}

/// The two configurations: they differ in listeners, upstream servers and certificates.
fn conf(which: char) -> String {
    let other = if which == 'a' { "b" } else { "a" };
    format!(
        r#"
        keepalive_requests 100000000;
        upstream u {{ server %one%; {} }}
        server {{
            listen 127.0.0.1:%port%;
            location / {{ proxy_pass http://u; add_header X-Conf {which}; }}
            location /slow {{ limit_rate {SLOW}; root %dir%/html; }}
            location /tunnel {{ proxy_read_timeout 1h; proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection upgrade; proxy_pass http://u; }}
        }}
        server {{ listen 127.0.0.1:%port_{which}%; return 200 {which}; }}
        server {{ listen 127.0.0.1:%port_tls% ssl; ssl_certificate {which}.crt;
            ssl_certificate_key {which}.key; ssl_session_tickets off;
            return 200 "tls not {other}"; }}
        "#,
        if which == 'a' { "server %two%;" } else { "" }
    )
}

/// A load that runs until stopped, counts its requests and records failures.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    failures: Sender<String>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn run(
        &mut self,
        what: &'static str,
        mut step: impl FnMut() -> Result<(), String> + Send + 'static,
    ) {
        let (stop, done) = (Arc::clone(&self.stop), Arc::clone(&self.done));
        let failures = self.failures.clone();
        self.threads.push(spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                match step() {
                    Ok(()) => drop(done.fetch_add(1, Ordering::Relaxed)),
                    Err(error) => return drop(failures.send(format!("{what}: {error}"))),
                }
            }
        }));
    }

    fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

fn ask(client: &mut Client, close: bool) -> Result<bool, String> {
    let connection = if close { "Connection: close\r\n" } else { "" };
    if !client.send_if_wanted(format!("GET / HTTP/1.1\r\nHost: a\r\n{connection}\r\n")) {
        return Err("closed before the request".to_owned());
    }
    let response = client.try_response(false).map_err(|error| error.to_string())?;
    match (response.status, response.text().as_str()) {
        (200, "hello") => Ok(response.header("Connection") == Some("close")),
        _ => Err(format!("{response:?}")),
    }
}

fn keepalive(address: String) -> impl FnMut() -> Result<(), String> {
    let mut client = Client::connect(&address);
    move || match ask(&mut client, false) {
        Ok(false) => Ok(()),
        // nginx closes connections with its workers; Weir promises to keep them.
        Ok(true) | Err(_) if is_nginx() => {
            client = Client::connect(&address);
            Ok(())
        }
        Ok(_) => Err("the connection was not kept".to_owned()),
        Err(error) => Err(error),
    }
}

fn fresh(address: String) -> impl FnMut() -> Result<(), String> {
    move || {
        let mut client = Client::try_connect(&address).map_err(|error| error.to_string())?;
        ask(&mut client, true).map(drop)
    }
}

fn handshakes(address: String) -> impl FnMut() -> Result<(), String> {
    let url = format!("https://{address}/");
    move || {
        let output = run("curl", &["-sSk", "--max-time", "10", &url]);
        match output.stdout.starts_with(b"tls not ") {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

fn tunnel(address: String) -> impl FnMut() -> Result<(), String> {
    let mut client = Client::connect(address);
    client.send("GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.head().status, 101);
    move || {
        if !client.send_if_wanted("ping") {
            return Err("closed".to_owned());
        }
        // Panics, and so fails the test, without a response.
        match &*client.take(4) {
            b"ping" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }
}

fn backend() -> Backend {
    Backend::new(|seen| match seen.header("Upgrade") {
        None => Reply::ok("hello"),
        Some(_) => Reply::Custom(Box::new(|stream| {
            let head =
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
            let _ = stream.write_all(head);
            let mut chunk = [0; 64];
            while let Ok(count @ 1..) = stream.read(&mut chunk) {
                if stream.write_all(&chunk[..count]).is_err() {
                    return;
                }
            }
        })),
    })
}

fn memory_of_all(server: &Server) -> u64 {
    let workers = children(server.pid()).into_iter().map(memory).sum::<u64>();
    memory(server.pid()) + workers
}

#[test]
fn reloads_affect_no_request() {
    let (one, two) = (backend(), backend());
    let duration = seconds();
    let setup = Server::http(&conf('a'))
        .set("one", one.address())
        .set("two", two.address())
        .file("html/slow", vec![b'x'; SLOW * duration.as_secs() as usize]);
    Certificate::self_signed(setup.directory(), "a", "a.test");
    Certificate::self_signed(setup.directory(), "b", "b.test");
    let server = setup.start();

    let (failures, failed) = channel();
    let mut load =
        Load { stop: Arc::default(), done: Arc::default(), failures, threads: Vec::new() };
    load.run("a kept connection", keepalive(server.address("port")));
    load.run("a new connection", fresh(server.address("port")));
    load.run("a TLS connection", handshakes(server.address("port_tls")));
    load.run("a tunnel", tunnel(server.address("port")));
    let mut slow = server.client().patience(duration * 2 + Duration::from_secs(30));
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let download = spawn(move || slow.response());

    let started = Instant::now();
    let mut early = None;
    for n in 0.. {
        server.rewrite_http(&conf(['b', 'a'][n % 2]));
        server.signal(Signal::HUP);
        match failed.recv_timeout(PERIOD) {
            Ok(failure) => panic!("after {:?}: {failure}", started.elapsed()),
            Err(RecvTimeoutError::Disconnected) => unreachable!("the load holds a sender"),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if early.is_none() && started.elapsed() > duration / 10 {
            early = Some(memory_of_all(&server));
        }
        if started.elapsed() > duration {
            break;
        }
    }
    let late = memory_of_all(&server);
    let done = load.done.load(Ordering::Relaxed);
    load.finish();
    if let Ok(failure) = failed.try_recv() {
        panic!("{failure}");
    }
    let length = download.join().unwrap().body.len();
    assert_eq!(length, SLOW * duration.as_secs() as usize, "the slow download is whole");
    server.rewrite_http(&conf('b'));
    server.signal(Signal::HUP);
    let removed = server.address("port_a");
    until("the last configuration", || Client::try_connect(&removed).is_err());
    println!("{done} requests, {early:?} KiB early, {late} KiB late");
    let early = early.unwrap();
    assert!(is_nginx() || late <= early + early / 10, "memory grew from {early} to {late} KiB");
}

#[test]
fn a_killed_worker_refuses_no_connection() {
    let backend = backend();
    let server = Server::server("location / { proxy_pass http://%backend%; }")
        .set("backend", backend.address())
        .alerts_expected()
        .start();
    let (failures, failed) = channel();
    let mut load =
        Load { stop: Arc::default(), done: Arc::default(), failures, threads: Vec::new() };
    for _ in 0..2 {
        let address = server.address("port");
        load.run("a new connection", move || {
            let mut client = Client::try_connect(&address).map_err(|error| error.to_string())?;
            // A request in the killed worker may fail; a connection may not be refused.
            let _ = ask(&mut client, true);
            Ok(())
        });
    }
    let mut worker = 0;
    for _ in 0..5 {
        until("another worker", || {
            children(server.pid()).first().is_some_and(|&other| other != worker)
        });
        worker = children(server.pid())[0];
        let before = load.done.load(Ordering::Relaxed);
        until("requests", || load.done.load(Ordering::Relaxed) > before + 20);
        send_signal(worker, Signal::KILL);
    }
    until("another worker", || {
        children(server.pid()).first().is_some_and(|&other| other != worker)
    });
    let mut client = server.client();
    assert_eq!(ask(&mut client, true), Ok(true));
    load.finish();
    assert_eq!(failed.try_recv().ok(), None);
}
