//! `weir demo cluster`: servers behind Weir are killed, added, slow and drained, while clients ask
//! at a steady rate. Tells what the clients saw, and how to repeat it by hand.

#![allow(clippy::print_stderr, reason = "the demo prints to the terminal")]

use std::io::{Error, IsTerminal, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_sys::signal::Signals;
use weir_sys::wait;

use super::weir::Weir;
use super::{listen, say};
use crate::signals;

mod load;
mod page;
pub(super) mod server;

use load::Load;
use page::Page;
use server::Server;

/// The configuration; `%1%` and so on are the addresses of the servers.
const CONF: &str = include_str!("cluster/cluster.conf");

/// The usual time of an act.
pub(super) const ACT: Duration = Duration::from_secs(6);

/// The time of a line after the last act.
const LINE: Duration = Duration::from_secs(2);

/// The number of lines of an act.
const LINES: u32 = 3;

/// The delay of the slow server, in milliseconds.
const SLOW: u32 = 150;

/// The number of servers in the configuration.
const SERVERS: usize = 3;

/// The path of the servers in the API.
const API: &str = "/api/9/http/upstreams/web/servers";

/// The time limit for an answer of the API.
const ANSWER: Duration = Duration::from_secs(10);

/// Runs the demo with acts of that length. The exit code is 1 if a client saw an error.
pub(super) fn run(act: Duration) -> i32 {
    let folder = std::env::temp_dir().join(format!("weir-demo-{}", std::process::id()));
    let result = Signals::block(&signals::ENDING[..4]).and_then(|signals| {
        let mut stage = Stage::set_up(&folder, &signals)?;
        let played = stage.play(act);
        let errors = stage.take_down();
        played.map(|_| errors)
    });
    let _ = std::fs::remove_dir_all(&folder);
    match result {
        Ok(errors) => i32::from(errors > 0),
        Err(error) => {
            eprintln!("weir: the demo failed: {error}");
            1
        }
    }
}

/// Whether to go on, or to end because of a signal.
type Goes = std::io::Result<bool>;

struct Stage<'a> {
    signals: &'a Signals,
    folder: PathBuf,
    front: SocketAddr,
    servers: Vec<Server>,
    weir: Weir,
    load: Option<Load>,
    page: Page,
}

impl<'a> Stage<'a> {
    fn set_up(folder: &Path, signals: &'a Signals) -> std::io::Result<Self> {
        let servers: Vec<Server> = (1..=SERVERS).map(Server::start).collect::<Result<_, _>>()?;
        // A port that was free a moment ago is very likely still free.
        let front = listen(0)?.local_addr()?;
        std::fs::create_dir_all(folder.join("logs"))?;
        let mut conf = CONF.replace("%front%", &front.to_string());
        for (place, server) in servers.iter().enumerate() {
            conf = conf.replace(&format!("%{}%", place + 1), &server.address.to_string());
        }
        std::fs::write(folder.join("nginx.conf"), conf)?;
        let weir = Weir::start(folder, front)?;
        let page = Page::new(folder.join("logs/error.log"));
        let folder = folder.to_owned();
        Ok(Self { signals, folder, front, servers, weir, load: Some(Load::start(front)), page })
    }

    /// Plays the acts, and then shows what the user does.
    fn play(&mut self, act: Duration) -> Goes {
        self.introduce();
        let acts: [fn(&mut Self) -> std::io::Result<()>; 5] =
            [Self::share, Self::kill, Self::add, Self::slow_down, Self::drain];
        for begin in acts {
            begin(self)?;
            self.page.table(self.servers.len());
            let mut from = Duration::ZERO;
            for line in 1..=LINES {
                let until = act * line / LINES;
                if !self.line(&page::seconds(from, until), until - from)? {
                    return Ok(false);
                }
                from = until;
            }
            self.page.tell_log();
        }
        if std::io::stdin().is_terminal() {
            return self.leave_to_the_user();
        }
        Ok(true)
    }

    fn introduce(&self) {
        let (front, folder) = (self.front, self.folder.display());
        say(format_args!(
            "Weir in front of three servers, asked {} times a second by clients.\n",
            load::RATE
        ));
        say(format_args!("  Weir       http://{front}/"));
        for (place, server) in self.servers.iter().enumerate() {
            self.show_server(place + 1, server);
        }
        say(format_args!("\n  configuration  {folder}/nginx.conf"));
        say(format_args!("  log            {folder}/logs/error.log"));
    }

    fn show_server(&self, number: usize, server: &Server) {
        say(format_args!(
            "  server {number}   http://{}/   process {}",
            server.address,
            server.process()
        ));
    }

    fn share(&mut self) -> std::io::Result<()> {
        self.page.act("All is well: the servers share the requests.");
        Ok(())
    }

    fn kill(&mut self) -> std::io::Result<()> {
        let server = &mut self.servers[2];
        self.page.act("Server 3 is killed. Another one answers what it was asked.");
        say(format_args!("   $ kill -9 {}", server.process()));
        server.kill();
        Ok(())
    }

    fn add(&mut self) -> std::io::Result<()> {
        let number = self.servers.len() + 1;
        let server = Server::start(number)?;
        self.page.act(&format!(
            "Server {number} is added, without a reload. It gets its share in three seconds."
        ));
        self.show_server(number, &server);
        let address = server.address;
        let body = format!(r#"{{"server":"{address}","max_fails":0,"slow_start":"3s"}}"#);
        self.servers.push(server);
        self.change("POST", API, &body)
    }

    fn slow_down(&mut self) -> std::io::Result<()> {
        self.page.act(&format!("Server 1 answers {SLOW} ms later, until Weir does without it."));
        self.delay(0, SLOW)
    }

    fn drain(&mut self) -> std::io::Result<()> {
        self.page.act("Server 1 recovers, and server 2 is drained: it gets no new requests.");
        self.delay(0, 0)?;
        self.change("PATCH", &format!("{API}/1"), r#"{"drain":true}"#)
    }

    fn leave_to_the_user(&mut self) -> Goes {
        say(format_args!(
            "\nNow it is yours: the clients go on until Ctrl-C. Try the commands above, or"
        ));
        say(format_args!("   $ curl -X PATCH http://{}{API}/1 \\", self.front));
        say(format_args!("       -d '{{\"drain\":false}}'"));
        self.page.table(self.servers.len());
        loop {
            if !self.line("", LINE)? {
                return Ok(false);
            }
            self.page.tell_log();
        }
    }

    /// Shows what clients see in a time, unless a signal ends the demo.
    fn line(&mut self, label: &str, time: Duration) -> Goes {
        let ready = wait::readable(&[self.signals.as_fd()], Some(time))?;
        if self.weir.has_ended() {
            let log = std::fs::read_to_string(self.folder.join("logs/error.log"));
            return Err(Error::other(format!("Weir has ended\n{}", log.unwrap_or_default())));
        }
        if let Some(load) = &self.load {
            self.page.line(label, &load.take());
        }
        Ok(!ready[0])
    }

    /// Makes a server answer later.
    fn delay(&self, place: usize, milliseconds: u32) -> std::io::Result<()> {
        let (address, path) = (self.servers[place].address, format!("/delay/{milliseconds}"));
        say(format_args!("   $ curl http://{address}{path}"));
        ask(address, "GET", &path, "")
    }

    /// Changes the group by the API.
    fn change(&self, method: &str, path: &str, body: &str) -> std::io::Result<()> {
        let front = self.front;
        say(format_args!("   $ curl -X {method} http://{front}{path} \\"));
        say(format_args!("       -d '{body}'"));
        ask(front, method, path, body)
    }

    /// Ends everything, and returns the number of errors that clients saw.
    fn take_down(mut self) -> usize {
        if let Some(load) = self.load.take() {
            self.page.count(&load.finish());
        }
        self.weir.stop();
        self.page.sum_up()
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.weir.stop();
    }
}

/// Sends a request whose answer must be good.
fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes())?;
    let mut start = [0; 10];
    stream.read_exact(&mut start)?;
    match &start {
        b"HTTP/1.1 2" => Ok(()),
        _ => Err(Error::other(format!("{method} {path} was refused"))),
    }
}
