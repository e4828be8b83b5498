//! Logs that do not accept lines: requests go on, losses are counted, and no other log is flooded
//! with messages.

use std::io::Read;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::thread;

use crate::harness::{PATIENCE, Server, Signal, is_nginx, run, until};

/// The number of requests without a reader: their lines exceed a pipe's capacity.
const MANY: usize = 2000;

/// Writes long lines ending in the request's number.
fn conf(log: &str) -> String {
    format!(
        r#"
        log_format own "{} $arg_n";
        keepalive_requests 100000;
        server {{
            listen 127.0.0.1:%port%;
            {log}
            location / {{ return 204; }}
            location /missing {{ root %dir%; }}
        }}
        "#,
        "x".repeat(100)
    )
}

/// Sends `count` requests on one connection.
fn ask(server: &Server, target: &str, count: usize) {
    let mut client = server.client();
    for number in 0..count {
        let status = client.get(&format!("{target}?n={number}")).status;
        assert!(status == 204 || status == 404, "{status}");
    }
}

/// The number of lost lines that the error log reports.
fn lost(server: &Server) -> Option<usize> {
    let log = server.error_log();
    let line = log.lines().find(|line| line.contains(" lost that "))?;
    let words: Vec<_> = line.split_whitespace().collect();
    let at = words.iter().position(|word| word.starts_with("line"))?;
    words[at - 1].parse().ok()
}

/// nginx waits for a reader at the start, and then with each line.
#[test]
fn a_pipe_without_a_reader_loses_lines() {
    if is_nginx() {
        return;
    }
    for options in ["", " buffer=4k"] {
        let setup = Server::http(&conf(&format!("access_log %dir%/pipe own{options};")));
        let pipe = setup.directory().join("pipe");
        run("mkfifo", &[pipe.to_str().unwrap()]);
        let server = setup.alerts_expected().start();
        ask(&server, "/", MANY);
        let failed = format!("write() to \"{}\" failed (11: ", pipe.display());
        assert_eq!(server.error_log().matches(&failed).count(), 1);
        let reader = thread::spawn(move || {
            let mut text = String::new();
            std::fs::File::open(pipe).unwrap().read_to_string(&mut text).unwrap();
            text
        });
        let mut more = 0;
        until("the number of lost lines", || {
            ask(&server, "/", 100);
            more += 100;
            lost(&server).is_some()
        });
        let lost = lost(&server).unwrap();
        drop(server);
        let text = reader.join().unwrap();
        assert!(text.lines().all(|line| line.starts_with("xxx") && line.len() < 110), "{text}");
        assert_eq!(text.lines().count() + lost, MANY + more);
    }
}

#[test]
fn an_error_log_without_a_reader_loses_lines() {
    if is_nginx() {
        return;
    }
    let setup = Server::http(&conf("error_log %dir%/pipe;"));
    run("mkfifo", &[setup.directory().join("pipe").to_str().unwrap()]);
    let server = setup.start();
    ask(&server, "/missing", MANY);
}

#[test]
fn a_full_disk_stops_no_request() {
    for log in ["access_log /dev/full own;", "access_log /dev/full own buffer=4k flush=1s;"] {
        let server = Server::http(&conf(log)).alerts_expected().start();
        ask(&server, "/", MANY);
        let failed = "write() to \"/dev/full\" failed (28: No space left on device)";
        server.wait_log(failed);
        assert_eq!(server.error_log().matches(failed).count(), 1);
    }
}

/// When logs are reopened with lines in the buffer, each line is in one of the two files.
#[test]
fn nothing_is_lost_when_buffered_logs_are_reopened() {
    let mut server = Server::http(&conf("access_log %dir%/log own buffer=1k;")).start();
    let directory = server.directory().path().to_owned();
    ask(&server, "/", 105);
    std::fs::rename(directory.join("log"), directory.join("old")).unwrap();
    server.signal(Signal::USR1);
    until("the new file", || directory.join("log").exists());
    ask(&server, "/", 105);
    server.signal(Signal::QUIT);
    assert!(server.wait_exit());
    let count = |name| std::fs::read_to_string(directory.join(name)).unwrap().lines().count();
    assert_eq!(count("log") + count("old"), 210);
}

fn syslog(address: &str) -> String {
    conf(&format!("access_log syslog:server={address},nohostname own;"))
}

#[test]
fn a_long_line_to_syslog_is_whole() {
    let syslogd = UdpSocket::bind("127.0.0.1:0").unwrap();
    syslogd.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = syslogd.local_addr().unwrap().to_string();
    let server =
        Server::http(&format!("large_client_header_buffers 4 32k; {}", syslog(&address))).start();
    let long = "y".repeat(20_000);
    assert_eq!(server.get(&format!("/?n={long}")).status, 204);
    let mut datagram = vec![0; 65_536];
    let count = syslogd.recv(&mut datagram).unwrap();
    let text = String::from_utf8_lossy(&datagram[..count]);
    assert!(text.starts_with("<190>") && text.ends_with(&long), "{} bytes", text.len());
}

/// nginx reports each line.
#[test]
fn an_absent_syslog_is_reported_once() {
    let setup = Server::http(&syslog("unix:%dir%/syslog"));
    let path = setup.directory().join("syslog");
    let server = setup.alerts_expected().start();
    ask(&server, "/", 50);
    let failed =
        "connect() failed (2: No such file or directory) while logging to syslog, server: ";
    server.wait_log(failed);
    let told = server.error_log().matches(failed).count();
    assert!(is_nginx() || told == 1, "told {told} times");
    // A new syslog receives lines at once.
    let syslogd = UnixDatagram::bind(&path).unwrap();
    run("chmod", &["777", path.to_str().unwrap()]);
    syslogd.set_read_timeout(Some(PATIENCE)).unwrap();
    ask(&server, "/", 1);
    let mut datagram = [0; 1000];
    let count = syslogd.recv(&mut datagram).unwrap();
    assert!(is_nginx() || datagram[..count].ends_with(b"x 0"));
    thread::spawn(move || while syslogd.recv(&mut datagram).is_ok() {});
    until("the lost lines to be told", || {
        ask(&server, "/", 1);
        is_nginx() || lost(&server) == Some(50)
    });
}

#[test]
fn a_syslog_that_does_not_read_stops_no_request() {
    let setup = Server::http(&syslog("unix:%dir%/syslog"));
    let path = setup.directory().join("syslog");
    let _syslogd = UnixDatagram::bind(&path).unwrap();
    run("chmod", &["777", path.to_str().unwrap()]);
    let server = setup.start();
    ask(&server, "/", MANY);
    let told = server.error_log().matches("while logging to syslog").count();
    assert!(is_nginx() || told == 1, "told {told} times");
}

#[test]
fn a_refusing_syslog_is_reported_once() {
    let syslogd = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = syslogd.local_addr().unwrap().to_string();
    drop(syslogd);
    let server = Server::http(&syslog(&address)).start();
    ask(&server, "/", 50);
    let failed = "send() failed (111: Connection refused) while logging to syslog, server: ";
    server.wait_log(failed);
    let told = server.error_log().matches(failed).count();
    assert!(is_nginx() || told == 1, "told {told} times");
}
