//! Tests with a real memcached.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use crate::harness::{Directory, Server, Setup, until_some};

/// Debian's memcached, on a socket in its own folder.
struct Memcached {
    process: Child,
    directory: Directory,
}

impl Memcached {
    #[track_caller]
    fn start() -> Self {
        let directory = Directory::new();
        let socket = directory.join("socket");
        let process = Command::new("memcached")
            .args(["-u", "root", "-t", "1", "-I", "4m", "-a", "0777", "-s"])
            .arg(&socket)
            .stdin(Stdio::null())
            .spawn()
            .expect("memcached is installed");
        let memcached = Self { process, directory };
        until_some("memcached", || UnixStream::connect(&socket).ok());
        memcached
    }

    fn address(&self) -> String {
        format!("unix:{}", self.directory.join("socket").display())
    }

    /// Sends a command and returns the first line of the response.
    fn command(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.directory.join("socket")).unwrap();
        stream.write_all(bytes).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    }

    fn set(&self, key: &str, flags: u32, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        let head = format!("set {key} {flags} 0 {}\r\n", value.len());
        let line = self.command(&[head.as_bytes(), value, b"\r\n"].concat());
        assert_eq!(line, "STORED\r\n");
    }

    /// The number of connections so far, without that of the query.
    fn connections(&self) -> usize {
        let mut stream = UnixStream::connect(self.directory.join("socket")).unwrap();
        stream.write_all(b"stats\r\n").unwrap();
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        let mut figures = lines
            .filter_map(|line| line.strip_prefix("STAT total_connections ")?.parse::<usize>().ok());
        figures.next().unwrap() - 1
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn server(memcached: &Memcached, conf: &str) -> Setup {
    Server::http(&format!(
        "upstream m {{ server %m%; keepalive 1; }}
         server {{ listen 127.0.0.1:%port%; set $memcached_key $uri; {conf} }}"
    ))
    .set("m", memcached.address())
}

#[test]
fn stored_values_are_served() {
    let memcached = Memcached::start();
    let server = server(&memcached, "location / { memcached_pass m; memcached_gzip_flag 2; }");
    let server = server.start();
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n >> 7) as u8).collect();
    memcached.set("/large", 0, &large);
    memcached.set("/empty.html", 1, "");
    memcached.set("/a%20b", 2, "\r\nEND\r\n");
    let answer = server.get("/large");
    assert_eq!((answer.status, answer.body == large), (200, true));
    let answer = server.get_with("/large", "Range: bytes=2000000-2000009\r\n");
    assert_eq!((answer.status, &answer.body[..]), (206, &large[2_000_000..2_000_010]));
    let answer = server.get("/empty.html");
    assert_eq!((answer.status, answer.text()), (200, String::new()));
    assert_eq!(answer.header("content-type"), Some("text/html"));
    assert_eq!(answer.header("content-encoding"), None);
    let answer = server.get("/a%20b");
    assert_eq!((answer.status, answer.text()), (200, "\r\nEND\r\n".to_owned()));
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert_eq!(server.get("/none").status, 404);
}

#[test]
fn one_connection_serves_many_requests() {
    let memcached = Memcached::start();
    let server = server(&memcached, "location / { memcached_pass m; }").start();
    memcached.set("/a", 0, "value");
    let before = memcached.connections();
    for _ in 0..3 {
        assert_eq!(server.text("/a"), "value");
        assert_eq!(server.get("/none").status, 404);
    }
    // That of the first query and one more.
    assert_eq!(memcached.connections(), before + 2);
    let mut client = server.client();
    client.send("HEAD /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(client.head_response().header("content-length"), Some("5"));
    assert_eq!(server.text("/a"), "value");
    assert_eq!(
        memcached.connections(),
        before + 4,
        "an unread value after HEAD closes the connection"
    );
}
