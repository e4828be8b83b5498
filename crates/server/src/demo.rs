//! `weir demo`: two small web servers behind Weir with its shipped configuration, while one of the
//! two is stopped and restarted. Needs no privileges and leaves no files behind.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the demo prints to the terminal")]

use std::io::{IsTerminal, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use weir_sys::signal::Signals;
use weir_sys::wait;

use crate::signals;

mod web_server;

use web_server::WebServer;

/// The files of the shipped configuration.
const FILES: [(&str, &str); 3] = [
    ("nginx.conf", include_str!("../../../conf/nginx.conf")),
    ("proxy.conf", include_str!("../../../conf/proxy.conf")),
    ("mime.types", include_str!("../../../conf/mime.types")),
];

/// The addresses in the shipped configuration that are replaced by the demo's servers.
const SERVERS: [&str; 2] = ["192.168.56.11:8080", "192.168.56.12:8080"];

/// The time limit for Weir's start.
const START: Duration = Duration::from_secs(10);

/// The pause between two acts, unless Enter is pressed.
const PAUSE: Duration = Duration::from_secs(8);

/// The time limit for a request.
const ANSWER: Duration = Duration::from_secs(5);

/// The number of requests in each act: two of three go to the first server.
const REQUESTS: usize = 12;

/// Runs the demo and returns the exit code.
pub(crate) fn run() -> i32 {
    let folder = std::env::temp_dir().join(format!("weir-demo-{}", std::process::id()));
    let result = Signals::block(&signals::ENDING).and_then(|signals| play(&folder, &signals));
    let _ = std::fs::remove_dir_all(&folder);
    match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("weir: the demo failed: {error}");
            1
        }
    }
}

fn play(folder: &Path, signals: &Signals) -> std::io::Result<()> {
    let first = listen(0)?;
    let second = listen(0)?;
    let addresses = [first.local_addr()?, second.local_addr()?];
    // A port that was free a moment ago is very likely still free.
    let front = listen(0)?.local_addr()?;
    let mut one = Some(WebServer::start(1, first)?);
    let two = WebServer::start(2, second)?;
    write_configuration(folder, front, addresses)?;
    let mut weir = Weir::start(folder, front)?;
    introduce(folder, front, addresses);
    show(front);
    let mut acts = Stage { signals, stdin: true };
    if acts.pause("server 1 is stopped") {
        if let Some(server) = one.take() {
            server.stop();
        }
        println!("Server 1 is stopped. Weir tries it, and asks the other one at once:");
        show(front);
        if acts.pause("server 1 is started again") {
            one = listen(addresses[0].port()).and_then(|l| WebServer::start(1, l)).ok();
            println!("Server 1 is back. It gets requests again when its pause of 5 s is over.");
            if acts.pause("requests are sent again") {
                show(front);
                println!("That is all. Weir runs until Ctrl-C.");
                acts.wait_for_the_end();
            }
        }
    }
    println!("\nThe demo ends.");
    weir.stop();
    [one, Some(two)].into_iter().flatten().for_each(WebServer::stop);
    Ok(())
}

fn listen(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

/// Writes the shipped configuration with local addresses and without the `user` directive, since
/// the user may not exist.
fn write_configuration(
    folder: &Path,
    front: SocketAddr,
    servers: [SocketAddr; 2],
) -> std::io::Result<()> {
    std::fs::create_dir_all(folder.join("logs"))?;
    for (name, text) in FILES {
        let lines = text.lines().filter(|line| !line.starts_with("user "));
        let mut text: String = lines.flat_map(|line| [line, "\n"]).collect();
        for (shipped, server) in SERVERS.iter().zip(servers) {
            text = text.replace(shipped, &server.to_string());
        }
        text = text.replace("listen          80;", &format!("listen          {front};"));
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}

/// Weir as a child process, from this process's own executable.
struct Weir(Child);

impl Weir {
    fn start(folder: &Path, front: SocketAddr) -> std::io::Result<Self> {
        let mut prefix = folder.as_os_str().to_owned();
        prefix.push("/");
        let binary: PathBuf = std::env::current_exe()?;
        let child = Command::new(binary)
            .arg("-p")
            .arg(prefix)
            .args(["-c", "nginx.conf", "-e", "logs/error.log", "-g", "daemon off;"])
            .stdin(Stdio::null())
            .spawn()?;
        let mut weir = Self(child);
        let begun = Instant::now();
        while TcpStream::connect(front).is_err() {
            if weir.0.try_wait()?.is_some() || begun.elapsed() > START {
                weir.stop();
                let log = std::fs::read_to_string(folder.join("logs/error.log"));
                return Err(std::io::Error::other(format!(
                    "Weir does not start\n{}",
                    log.unwrap_or_default()
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(weir)
    }

    fn stop(&mut self) {
        let id = i32::try_from(self.0.id()).unwrap_or_default();
        let _ = weir_sys::process::kill(id, signals::TERM);
        let _ = self.0.wait();
    }
}

fn introduce(folder: &Path, front: SocketAddr, servers: [SocketAddr; 2]) {
    println!("  server 1   http://{}/", servers[0]);
    println!("  server 2   http://{}/", servers[1]);
    println!("  Weir       http://{front}/   before both, weight 2 to 1");
    println!("\nConfiguration and logs: {}/", folder.display());
    println!("Try it:  curl -i http://{front}/\n");
}

/// Sends requests to Weir and prints the servers that answered.
fn show(front: SocketAddr) {
    let mut answers = String::new();
    let mut failed = 0;
    for _ in 0..REQUESTS {
        match ask(front) {
            Ok(server) => answers.push(server),
            Err(_) => {
                answers.push('!');
                failed += 1;
            }
        }
        answers.push(' ');
    }
    println!("  {REQUESTS} requests, answered by server  {answers} {failed} failed");
}

/// Sends a request and returns the number of the server that answered.
fn ask(front: SocketAddr) -> std::io::Result<char> {
    let mut stream = TcpStream::connect(front)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let server = answer.split("\r\n\r\nserver ").nth(1).and_then(|rest| rest.chars().next());
    match answer.starts_with("HTTP/1.1 200 ") {
        true => server.ok_or_else(|| std::io::ErrorKind::InvalidData.into()),
        false => Err(std::io::ErrorKind::InvalidData.into()),
    }
}

/// The events that move the demo on.
struct Stage<'a> {
    signals: &'a Signals,
    /// Standard input is still readable.
    stdin: bool,
}

impl Stage<'_> {
    /// Waits for Enter or the end of the pause; returns `false` if the demo is to end.
    fn pause(&mut self, what_next: &str) -> bool {
        let seconds = PAUSE.as_secs();
        match std::io::stdin().is_terminal() {
            true => println!("\nEnter, or {seconds} seconds, and {what_next}. Ctrl-C ends."),
            false => println!("\nIn {seconds} seconds {what_next}."),
        }
        let until = Instant::now() + PAUSE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            match self.event(Some(left)) {
                Event::End => return false,
                Event::Enter => return true,
                Event::Nothing => {}
            }
        }
    }

    fn wait_for_the_end(&mut self) {
        while !matches!(self.event(None), Event::End) {}
    }

    fn event(&mut self, timeout: Option<Duration>) -> Event {
        let stdin = std::io::stdin();
        let mut fds = vec![self.signals.as_fd()];
        if self.stdin {
            fds.push(stdin.as_fd());
        }
        let Ok(ready) = wait::readable(&fds, timeout) else { return Event::End };
        if ready[0] && !matches!(self.signals.next(), Ok(None)) {
            return Event::End;
        }
        if ready.get(1) == Some(&true) {
            let mut line = String::new();
            self.stdin = matches!(stdin.read_line(&mut line), Ok(1..));
            return if self.stdin { Event::Enter } else { Event::Nothing };
        }
        Event::Nothing
    }
}

enum Event {
    /// A signal to end, or the end of Weir's process.
    End,
    Enter,
    /// A timeout, or the end of standard input.
    Nothing,
}
