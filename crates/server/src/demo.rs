//! The demos, which need no privileges and leave no files behind. `weir demo`: two small web
//! servers behind Weir with its shipped configuration, while one of the two is stopped and
//! restarted. `weir demo cluster`: servers that are killed, added, slow and drained under load.
//!
//! A demo is a program of its own that happens to be in the same file: it starts Weir as a process,
//! by its command line, and shares no state or loop with it. The server never calls it.

#![allow(clippy::print_stderr, reason = "the demo prints to the terminal")]

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use weir_sys::signal::Signals;

use crate::signals;

mod cluster;
mod stage;
mod web_server;
mod weir;

use stage::Stage;
use web_server::WebServer;
use weir::Weir;

/// The files of the shipped configuration.
const FILES: [(&str, &str); 3] = [
    ("nginx.conf", include_str!("../../../conf/nginx.conf")),
    ("proxy.conf", include_str!("../../../conf/proxy.conf")),
    ("mime.types", include_str!("../../../conf/mime.types")),
];

/// The addresses in the shipped configuration that are replaced by the demo's servers.
const SERVERS: [&str; 2] = ["192.168.56.11:8080", "192.168.56.12:8080"];

/// The time limit for a request.
const ANSWER: Duration = Duration::from_secs(5);

/// The number of requests in each act: two of three go to the first server.
const REQUESTS: usize = 12;

/// Runs the demo that the words behind `demo` name, and returns the exit code; `None` if they name
/// none.
pub(crate) fn run(words: &[OsString]) -> Option<i32> {
    let words: Vec<&str> = words.iter().map(|word| word.to_str()).collect::<Option<_>>()?;
    match *words {
        [] => Some(two_servers()),
        ["cluster"] => Some(cluster::run(cluster::ACT)),
        ["cluster", seconds] => {
            let seconds = seconds.parse().ok().filter(|seconds| (1..=3600).contains(seconds))?;
            Some(cluster::run(Duration::from_secs(seconds)))
        }
        ["server", number] => Some(cluster::server::run(number.parse().ok()?)),
        _ => None,
    }
}

fn two_servers() -> i32 {
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
        say(format_args!("Server 1 is stopped. Weir tries it, and asks the other one at once:"));
        show(front);
        if acts.pause("server 1 is started again") {
            one = listen(addresses[0].port()).and_then(|l| WebServer::start(1, l)).ok();
            say(format_args!(
                "Server 1 is back. It gets requests again when its pause of 5 s is over."
            ));
            if acts.pause("requests are sent again") {
                show(front);
                say(format_args!("That is all. Weir runs until Ctrl-C."));
                acts.wait_for_the_end();
            }
        }
    }
    say(format_args!("\nThe demo ends."));
    weir.stop();
    [one, Some(two)].into_iter().flatten().for_each(WebServer::stop);
    Ok(())
}

/// Prints a line. If nobody reads any more, a demo still has to end what it has started.
fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
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

fn introduce(folder: &Path, front: SocketAddr, servers: [SocketAddr; 2]) {
    say(format_args!("  server 1   http://{}/", servers[0]));
    say(format_args!("  server 2   http://{}/", servers[1]));
    say(format_args!("  Weir       http://{front}/   before both, weight 2 to 1"));
    say(format_args!("\nConfiguration and logs: {}/", folder.display()));
    say(format_args!("Try it:  curl -i http://{front}/\n"));
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
    say(format_args!("  {REQUESTS} requests, answered by server  {answers} {failed} failed"));
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
