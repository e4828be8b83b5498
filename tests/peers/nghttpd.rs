//! nghttpd, nghttp2's server, as an upstream.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use super::{content, with_certificate};
use crate::harness::{Directory, H2Client, Port, Server, Setup, skipped, until};

/// A server, killed on drop; its files are in `files`.
struct Nghttpd {
    process: Child,
    port: Port,
    directory: Directory,
}

impl Nghttpd {
    /// None, and a skipped test, without it. By TLS with the certificate of a folder.
    fn start(flags: &[&str], certificate: Option<&Directory>) -> Option<Self> {
        let (directory, port) = (Directory::new(), Port::reserve());
        directory.write("files/small", "small\n");
        directory.write("files/large", content(5_000_000));
        let mut command = Command::new("nghttpd");
        command.args(["-v", "-a", "127.0.0.1", "-d"]).arg(directory.join("files")).args(flags);
        let number = port.number().to_string();
        match certificate {
            Some(files) => {
                command.arg(number).arg(files.join("own.key")).arg(files.join("own.crt"))
            }
            None => command.args(["--no-tls", &number]),
        };
        let log = std::fs::File::create(directory.join("log")).unwrap();
        let Ok(process) = command.stdin(Stdio::null()).stdout(log).stderr(Stdio::null()).spawn()
        else {
            skipped("no nghttpd");
            return None;
        };
        let this = Self { process, port, directory };
        until("nghttpd", || TcpStream::connect(this.address()).is_ok());
        Some(this)
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// How often it has received something.
    fn received(&self, what: &str) -> usize {
        self.directory.read("log").matches(what).count()
    }
}

impl Drop for Nghttpd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Weir in front of it, by `proxy_http_version 2`.
fn in_front(scheme: &str, location: &str) -> Setup {
    let setup = Server::http(&format!(
        "http2 on; client_max_body_size 0;
         upstream u {{ server %upstream%; keepalive 8; }}
         server {{ listen 127.0.0.1:%port%; location / {{ proxy_pass {scheme}://u;
            proxy_http_version 2; {location} }} }}"
    ));
    with_certificate(setup).0
}

fn requests(weir: &Server, upstream: &Nghttpd) {
    let body = content(5_000_000);
    // Clients of both versions.
    let mut client = H2Client::of(weir);
    for _ in 0..3 {
        let answer = client.get("/small");
        assert_eq!(answer.whole(), (200, "small\n".to_owned()));
        assert_eq!(weir.text("/small"), "small\n");
    }
    assert!(client.get("/large").body == body);
    assert!(weir.get("/large").body == body);
    assert_eq!(client.get("/none").status, 404);
    let streams: Vec<u32> = (0..100).map(|_| client.ask("/small")).collect();
    for stream in streams {
        assert_eq!(client.answer(stream).whole(), (200, "small\n".to_owned()));
    }
    let answer = client.post("/small", "", &body);
    assert_eq!(answer.status, 200);
    let heads = upstream.received("recv HEADERS frame");
    assert!(heads >= 110, "{heads}");
}

#[test]
fn requests_are_passed_in_cleartext() {
    for flags in [
        &[][..],
        // Windows of streams, and of the connection.
        &["-w", "15", "-W", "17"],
        // The size of its table.
        &["-c", "0"],
        // Pushes, which nobody wants.
        &["-p", "/small=/large"],
        &["-b", "200"],
        &["--early-response"],
        &["--error-gzip"],
    ] {
        let Some(upstream) = Nghttpd::start(flags, None) else { return };
        let weir = in_front("http", "").set("upstream", upstream.address()).start();
        requests(&weir, &upstream);
        // The port of the harness's own wait is one more.
        let connections = upstream.received("recv SETTINGS frame <length=");
        assert!(connections >= 2, "{connections}");
        assert_eq!(upstream.received("send PUSH_PROMISE"), 0);
    }
}

#[test]
fn requests_are_passed_by_tls() {
    let setup = in_front(
        "https",
        "proxy_ssl_verify on; proxy_ssl_name weir.test; proxy_ssl_trusted_certificate own.crt;",
    );
    let Some(upstream) = Nghttpd::start(&[], Some(setup.directory())) else { return };
    let weir = setup.set("upstream", upstream.address()).start();
    requests(&weir, &upstream);
}

#[test]
fn its_limit_of_streams_is_kept() {
    let Some(upstream) = Nghttpd::start(&["-m", "3"], None) else { return };
    let weir = in_front("http", "").set("upstream", upstream.address()).start();
    let mut client = H2Client::of(&weir);
    let streams: Vec<u32> = (0..100).map(|_| client.ask("/small")).collect();
    for stream in streams {
        assert_eq!(client.answer(stream).whole(), (200, "small\n".to_owned()));
    }
    assert_eq!(upstream.received("send RST_STREAM"), 0);
}

#[test]
fn bodies_come_back() {
    let Some(upstream) = Nghttpd::start(&["--echo-upload"], None) else { return };
    let body = content(3_000_000);
    for location in ["", "proxy_request_buffering off; proxy_buffering off;"] {
        let weir = in_front("http", location).set("upstream", upstream.address()).start();
        let mut client = H2Client::of(&weir);
        let answer = client.post("/", "", &body);
        assert!(answer.status == 200 && answer.body == body);
        let mut client = weir.client();
        client
            .send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
        client.send(&body);
        let response = client.response();
        assert!(response.status == 200 && response.body == body);
    }
}

#[test]
fn its_trailers_are_passed() {
    let Some(upstream) = Nghttpd::start(&["--trailer", "x-sum: 9"], None) else { return };
    let weir = in_front("http", "proxy_pass_trailers on; proxy_set_header TE trailers;")
        .set("upstream", upstream.address())
        .start();
    let mut client = H2Client::of(&weir);
    let stream = client.open(&crate::harness::request("GET", "/small", "te: trailers"), true);
    let answer = client.answer(stream);
    assert_eq!(answer.whole(), (200, "small\n".to_owned()));
    assert_eq!(answer.trailer("x-sum"), Some("9"), "{answer:?}");
}
