//! What ten viewers of the dashboard cost, with 200 upstreams of 50 servers under a little traffic.
//!
//! Each viewer asks as the page does: for the state, and for the servers of an upstream that it has
//! open, every two seconds, on a kept connection, compressed. Times with viewers and without them
//! alternate, at the same traffic. `bench/README.md` explains the table.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::account;
use crate::Failure;
use crate::scratch::Scratch;
use crate::server::Server;

const UPSTREAMS: usize = 200;

/// The servers of each upstream.
const SERVERS: usize = 50;

const VIEWERS: usize = 10;

/// The time between two questions of a viewer, as in the page.
const EVERY: Duration = Duration::from_secs(2);

/// The pause between two requests of the traffic.
const PAUSE: Duration = Duration::from_millis(10);

const ROUNDS: usize = 3;

/// The length of each measurement: long against a tick of the kernel's accounts.
const LENGTH: Duration = Duration::from_secs(10);

/// Measures the binary, and prints a table.
pub(super) fn run(binary: &Path) -> Result<(), Failure> {
    let backend = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(fault)?;
    let port = backend.local_addr().map_err(fault)?.port();
    thread::spawn(move || backend.incoming().flatten().for_each(|one| drop(answer(one))));
    let scratch = Scratch::new("dashboard")?;
    let server = Server::start(&scratch, "Weir", None, &|own, folder| {
        let conf = folder.join("nginx.conf");
        std::fs::write(&conf, configuration(own, port, folder)).map_err(fault)?;
        let mut line = vec![binary.into()];
        line.extend(["-e", "stderr", "-g", "daemon off;", "-c"].map(Into::into));
        line.push(conf.into());
        Ok(line)
    })?;
    let traffic =
        Repeated::start(server.port, PAUSE, |turn| vec![format!("/{}", turn % UPSTREAMS)]);
    thread::sleep(EVERY);
    let mut rounds = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let without = measure(&server);
        let viewers: Vec<Repeated> =
            (0..VIEWERS).map(|viewer| viewer_of(&server, viewer)).collect();
        thread::sleep(EVERY);
        let with = measure(&server);
        for (row, value) in rounds.iter_mut().zip([without, with, (with - without).max(0.0)]) {
            row.push(value);
        }
        viewers.into_iter().map(Repeated::end).sum::<Result<u64, Failure>>()?;
    }
    let requests = traffic.end()?;
    println!(
        "{UPSTREAMS} upstreams of {SERVERS} servers, {VIEWERS} viewers, {requests} requests.\n"
    );
    println!("| ms of CPU per second | median (least..most) |\n|---|---:|");
    for (name, mut row) in ["without viewers", "with ten viewers", "the viewers"].iter().zip(rounds)
    {
        row.sort_by(f64::total_cmp);
        let [least, middle, most] = [0, ROUNDS / 2, ROUNDS - 1].map(|at| row[at]);
        println!("| {name} | {middle:.1} ({least:.1}..{most:.1}) |");
    }
    Ok(())
}

fn fault(error: std::io::Error) -> Failure {
    error.to_string()
}

/// The CPU time of the server per second, in milliseconds. Of threads that have ended, too.
fn measure(server: &Server) -> f64 {
    let (before, started) = (account::ticks(server.process()), Instant::now());
    thread::sleep(LENGTH);
    let ticks = account::ticks(server.process()).saturating_sub(before);
    1000.0 * ticks as f64 / account::TICKS_PER_SECOND / started.elapsed().as_secs_f64()
}

fn viewer_of(server: &Server, viewer: usize) -> Repeated {
    thread::sleep(EVERY / VIEWERS as u32);
    let open = viewer * UPSTREAMS / VIEWERS;
    Repeated::start(server.port, EVERY, move |_| {
        vec![
            "/dash/?state".to_owned(),
            format!("/dash/?api=http%2Fupstreams%2Fg{open}&order=failing&limit=100"),
        ]
    })
}

/// Requests again and again, on one connection.
struct Repeated {
    ends: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    thread: JoinHandle<std::io::Result<()>>,
}

impl Repeated {
    fn start(
        port: u16,
        pause: Duration,
        ask: impl Fn(usize) -> Vec<String> + Send + 'static,
    ) -> Self {
        let (ends, answers) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (until, count) = (Arc::clone(&ends), Arc::clone(&answers));
        let thread = thread::spawn(move || {
            let mut stream = BufReader::new(TcpStream::connect((Ipv4Addr::LOCALHOST, port))?);
            for turn in 0.. {
                if until.load(Ordering::Relaxed) {
                    break;
                }
                for target in ask(turn) {
                    get(&mut stream, &target)?;
                    count.fetch_add(1, Ordering::Relaxed);
                }
                thread::sleep(pause);
            }
            Ok(())
        });
        Self { ends, answers, thread }
    }

    /// The number of answers.
    fn end(self) -> Result<u64, Failure> {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "a client panicked".to_owned())?.map_err(fault)?;
        Ok(self.answers.load(Ordering::Relaxed))
    }
}

/// A request whose answer is read, and is a 200.
fn get(stream: &mut BufReader<TcpStream>, target: &str) -> std::io::Result<()> {
    let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    stream.get_mut().write_all(head.as_bytes())?;
    let (mut length, mut line, mut first) = (0, String::new(), true);
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        if std::mem::take(&mut first) && !line.starts_with("HTTP/1.1 200") {
            return Err(std::io::Error::other(format!("{target}: {line}")));
        }
        let name = "content-length:";
        if line.to_ascii_lowercase().starts_with(name) {
            length = line[name.len()..].trim().parse().map_err(std::io::Error::other)?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    std::io::copy(&mut stream.take(length), &mut std::io::sink())?;
    Ok(())
}

/// Answers requests on a connection, on a thread of its own.
fn answer(stream: TcpStream) -> JoinHandle<std::io::Result<()>> {
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        while stream.read_line(&mut line)? > 0 {
            if line.trim().is_empty() {
                stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            }
            line.clear();
        }
        Ok(())
    })
}

/// All servers are addresses of this machine at the same port.
fn configuration(own: u16, port: u16, folder: &Path) -> String {
    let folder = folder.display();
    let mut groups = String::new();
    let mut locations = String::new();
    for group in 0..UPSTREAMS {
        let servers = (1..=SERVERS).map(|server| format!("server 127.1.{group}.{server}:{port}; "));
        let servers: String = servers.collect();
        groups += &format!("upstream g{group} {{ zone g{group} 512k; keepalive 4; {servers} }}\n");
        locations += &format!("location = /{group} {{ proxy_pass http://g{group}; }}\n");
    }
    format!(
        "worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
         events {{ worker_connections 8192; }}
         http {{ access_log off; keepalive_requests 1000000; {groups}
         server {{ listen 127.0.0.1:{own}; status_zone front; {locations}
         location / {{ return 200; }}
         location /dash/ {{ dashboard; }} location /api/ {{ api write=on; }} }} }}"
    )
}
