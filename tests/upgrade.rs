//! An upgrade of the binary under load, forth and back: no connection is refused, and no request is
//! lost.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::harness::{
    Client, Daemon, H2Client, Load, Port, Server, Setup, Signal, binary, children, code, is_nginx,
    send_signal, until, until_some,
};

/// Requests a second, each on a new connection.
const RATE: u32 = 100;

/// Clients of either version with a kept connection each.
const KEEPING: usize = 4;

/// The requests at a time of one of HTTP/2.
const STREAMS: usize = 5;

/// The pause of such a client between a response and its next request.
const PAUSE: Duration = Duration::from_millis(10);

/// The number of upgrades, each forth and back.
const TURNS: usize = 2;

const PID_FILE: &str = "nginx.pid";
const OLD_PID_FILE: &str = "nginx.pid.oldbin";

/// A daemon with two threads, whose answers show its process; `/passed` waits for a request body.
/// A kept connection may have a last request while the workers end.
fn daemon(port: &Port, listen: &str) -> Setup {
    Server::conf(
        "pid %dir%/nginx.pid; error_log %dir%/error.log info; worker_processes 2; events { }
         http {
             access_log off;
             http2 on;
             keepalive_min_timeout 60s;
             client_body_temp_path %dir%/body;
             proxy_temp_path %dir%/proxy;
             server {
                 listen 127.0.0.1:%number% %options%;
                 location / { return 200 $pid; }
                 location /passed { proxy_pass http://127.0.0.1:%number%/; }
             }
         }",
    )
    .set("number", port.number())
    .set("options", listen)
}

/// A running daemon and its clients.
struct Upgrading<'a> {
    setup: &'a Setup,
    address: String,
    kept: Kept,
    fresh: Load,
}

/// Clients that ask again and again on kept connections, and connect anew when a response announces
/// the end of its connection.
struct Kept {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<std::io::Result<usize>>>,
}

impl Kept {
    fn start(address: &str) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let start = |_| {
            let (address, stop) = (address.to_owned(), Arc::clone(&stop));
            std::thread::spawn(move || ask_again(&address, &stop))
        };
        let start_streams = |_| {
            let (address, stop) = (address.to_owned(), Arc::clone(&stop));
            std::thread::spawn(move || ask_on_streams(&address, &stop))
        };
        let threads = (0..KEEPING).map(start).chain((0..KEEPING).map(start_streams)).collect();
        Self { stop, threads }
    }

    /// Every client had responses to all its requests.
    #[track_caller]
    fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            match thread.join().unwrap() {
                Ok(responses) => assert!(responses > 0, "a client had no responses"),
                Err(error) => panic!("a kept connection lost a request: {error}"),
            }
        }
    }
}

/// Returns the number of responses.
fn ask_again(address: &str, stop: &AtomicBool) -> std::io::Result<usize> {
    let mut client = Client::try_connect(address)?;
    let mut responses = 0;
    while !stop.load(Ordering::Relaxed) {
        client.send_if_wanted("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = client.try_response(false)?;
        if response.status != 200 {
            return Err(std::io::Error::other(format!("status {}", response.status)));
        }
        responses += 1;
        if response.header("Connection") == Some("close") {
            client = Client::try_connect(address)?;
        }
        std::thread::park_timeout(PAUSE);
    }
    Ok(responses)
}

/// As [`ask_again`], in HTTP/2: only what GOAWAY says was not processed is asked again.
fn ask_on_streams(address: &str, stop: &AtomicBool) -> std::io::Result<usize> {
    let mut client = H2Client::connect(address, &[]);
    let mut responses = 0;
    while !stop.load(Ordering::Relaxed) {
        if client.gone.is_some() {
            client = H2Client::connect(address, &[]);
        }
        let streams: Vec<u32> = (0..STREAMS).map(|_| client.ask("/")).collect();
        for stream in streams {
            match (client.try_answer(stream), client.gone) {
                (Ok(answer), _) if answer.complete && answer.status == 200 => responses += 1,
                (_, Some((code::NO_ERROR, last))) if stream > last => {}
                (answer, gone) => {
                    let what = format!("stream {stream}: {answer:?}, GOAWAY {gone:?}");
                    return Err(std::io::Error::other(what));
                }
            }
        }
        std::thread::park_timeout(PAUSE);
    }
    Ok(responses)
}

impl<'a> Upgrading<'a> {
    fn start(setup: &'a Setup, port: &Port) -> (Self, Daemon) {
        let output = setup.run(&[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let address = format!("127.0.0.1:{}", port.number());
        let kept = Kept::start(&address);
        let fresh = Load::start(&address, "/", "Connection: close\r\n", RATE);
        let daemon = Daemon::of(setup.directory(), PID_FILE);
        (Self { setup, address, kept, fresh }, daemon)
    }

    /// The process that answers a new connection.
    fn answering(&self) -> u32 {
        Client::connect(&self.address).get("/").text().parse().unwrap()
    }

    /// Waits for answers of a master's workers, as many in a row as there are threads and more.
    #[track_caller]
    fn wait_for_answers_of(&self, master: &Daemon) {
        until("answers of the remaining workers", || {
            let workers = children(master.pid);
            (0..8).all(|_| workers.contains(&self.answering()))
        });
    }

    /// USR2: starts a new binary beside the old one and waits until it serves.
    #[track_caller]
    fn new_binary(&self, old: &Daemon) -> Daemon {
        let directory = self.setup.directory();
        send_signal(old.pid, Signal::USR2);
        let new = until_some("the new master", || {
            let daemon = Daemon::try_of(directory, PID_FILE)?;
            (daemon.pid != old.pid).then_some(daemon)
        });
        until("an answer of the new binary", || children(new.pid).contains(&self.answering()));
        assert_eq!(directory.read(OLD_PID_FILE).trim(), old.pid.to_string());
        new
    }

    /// WINCH: ends the old workers, of which one waits for the rest of a request meanwhile.
    #[track_caller]
    fn end_workers(&self, old: &Daemon, new: &Daemon) {
        let mut client = Client::connect(&self.address);
        client.send("POST /passed HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
        send_signal(old.pid, Signal::WINCH);
        client.send("cd");
        assert_eq!(client.response().status, 200);
        drop(client);
        until("the end of the old workers", || children(old.pid) == [new.pid]);
    }

    #[track_caller]
    fn finish(self) {
        self.fresh.finish().assert_good("new connections");
        self.kept.finish();
    }
}

fn exists(directory: &Path, name: &str) -> bool {
    directory.join(name).exists()
}

#[test]
fn upgrades_under_load_lose_no_request() {
    for listen in ["", "reuseport"] {
        let port = Port::reserve();
        let setup = daemon(&port, listen);
        let (upgrading, mut old) = Upgrading::start(&setup, &port);
        let directory = setup.directory().path();
        for _ in 0..TURNS {
            let new = upgrading.new_binary(&old);
            upgrading.end_workers(&old, &new);
            upgrading.wait_for_answers_of(&new);
            send_signal(old.pid, Signal::QUIT);
            old.wait();
            until("the old pid file to go", || !exists(directory, OLD_PID_FILE));
            upgrading.wait_for_answers_of(&new);
            old = new;
        }
        upgrading.finish();
        send_signal(old.pid, Signal::QUIT);
        old.wait();
    }
}

#[test]
fn the_old_binary_takes_back_under_load() {
    for listen in ["", "reuseport"] {
        let port = Port::reserve();
        let setup = daemon(&port, listen);
        let (upgrading, old) = Upgrading::start(&setup, &port);
        let directory = setup.directory().path();
        for _ in 0..TURNS {
            let new = upgrading.new_binary(&old);
            upgrading.end_workers(&old, &new);
            upgrading.wait_for_answers_of(&new);
            send_signal(old.pid, Signal::HUP);
            until("an answer of the old binary", || {
                children(old.pid).contains(&upgrading.answering())
            });
            send_signal(new.pid, Signal::QUIT);
            new.wait();
            upgrading.wait_for_answers_of(&old);
            until("the pid file to return", || {
                setup.directory().read(PID_FILE).trim() == old.pid.to_string()
                    && !exists(directory, OLD_PID_FILE)
            });
        }
        upgrading.finish();
        send_signal(old.pid, Signal::QUIT);
        old.wait();
        until("the pid file to go", || !exists(directory, PID_FILE));
    }
}

/// Without HUP: the old workers have ended, and the end of the new binary brings them back.
#[test]
fn the_old_binary_serves_when_the_new_one_ends() {
    let port = Port::reserve();
    let setup = daemon(&port, "");
    let (upgrading, old) = Upgrading::start(&setup, &port);
    let new = upgrading.new_binary(&old);
    upgrading.end_workers(&old, &new);
    send_signal(new.pid, Signal::QUIT);
    new.wait();
    upgrading.wait_for_answers_of(&old);
    upgrading.finish();
    send_signal(old.pid, Signal::QUIT);
    old.wait();
}

/// nginx ignores the signal while the process that launched it still runs.
#[test]
fn an_upgrade_waits_for_the_start() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let setup = daemon(&port, "");
    // Writes the configuration.
    assert!(setup.check().status.success());
    let directory = setup.directory();
    let mut launcher = std::process::Command::new(binary());
    launcher.arg("-p").arg(directory.path()).args(["-c", "nginx.conf", "-e", "error.log"]);
    let mut launcher = launcher.spawn().unwrap();
    let old = Daemon::of(directory, PID_FILE);
    send_signal(old.pid, Signal::USR2);
    let new = until_some("the new master", || {
        let daemon = Daemon::try_of(directory, PID_FILE)?;
        (daemon.pid != old.pid).then_some(daemon)
    });
    assert!(launcher.wait().unwrap().success());
    for daemon in [old, new] {
        send_signal(daemon.pid, Signal::QUIT);
        daemon.wait();
    }
}
