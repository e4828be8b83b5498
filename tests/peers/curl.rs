//! curl as a client of HTTP/2.

use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::channel;

use super::{HOST, content, with_certificate};
use crate::harness::{Backend, PATIENCE, Reply, Server, Setup};

/// A server of cleartext and TLS with this text in both.
fn server(conf: &str) -> Setup {
    let setup = with_certificate(Server::http(
        "http2 on; log_format f '$server_protocol $http2 $connection $status $request_length';
         ssl_certificate own.crt; ssl_certificate_key own.key; large_client_header_buffers 4 32k;
         server { listen 127.0.0.1:%port%; listen 127.0.0.1:%port_s% ssl; server_name weir.test;
            access_log %dir%/own.log f; root %dir%/html; %conf% }",
    ));
    setup.0.set("conf", conf)
}

/// By which way curl asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Of HTTP/2 in cleartext, as it is told that the server has it.
    Known,
    /// What TLS's handshake has settled.
    Tls,
}

const WAYS: [Way; 2] = [Way::Known, Way::Tls];

/// Asks for a target; standard input is empty.
fn curl(server: &Server, way: Way, target: &str, arguments: &[&str]) -> Output {
    command(server, way, target, arguments).stdin(Stdio::null()).output().unwrap()
}

fn command(server: &Server, way: Way, target: &str, arguments: &[&str]) -> Command {
    let port = server.port(if way == Way::Tls { "port_s" } else { "port" });
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "60", "--noproxy", "*"]);
    command.args(["--resolve", &format!("{HOST}:{port}:127.0.0.1")]);
    match way {
        Way::Known => command.arg("--http2-prior-knowledge"),
        Way::Tls => command.arg("--cacert").arg(server.directory().join("own.crt")),
    };
    let scheme = if way == Way::Tls { "https" } else { "http" };
    command.args(arguments).arg(format!("{scheme}://{HOST}:{port}{target}"));
    command
}

#[track_caller]
fn text(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The version and the status, after a body.
const VERSION: [&str; 2] = ["-w", " %{http_version} %{http_code}"];

#[test]
fn versions_are_settled() {
    let server = server("return 200 $server_protocol;").start();
    let ask = |way, more: &[&str]| text(&curl(&server, way, "/", &[&VERSION[..], more].concat()));
    for way in WAYS {
        assert_eq!(ask(way, &[]), "HTTP/2.0 2 200", "{way:?}");
    }
    assert_eq!(ask(Way::Tls, &["--http2"]), "HTTP/2.0 2 200");
    assert_eq!(ask(Way::Tls, &["--http1.1"]), "HTTP/1.1 1.1 200");
    assert_eq!(ask(Way::Tls, &["--no-alpn"]), "HTTP/1.1 1.1 200");
    assert_eq!(ask(Way::Tls, &["--tlsv1.2", "--tls-max", "1.2"]), "HTTP/2.0 2 200");
    // The last of these flags counts. A request to change to HTTP/2 is not followed.
    assert_eq!(ask(Way::Known, &["--http1.1"]), "HTTP/1.1 1.1 200");
    assert_eq!(ask(Way::Known, &["--http2"]), "HTTP/1.1 1.1 200");
}

#[test]
fn files_come_whole() {
    let body = content(20_000_000);
    let server = server("gzip on; gzip_types text/plain; gzip_min_length 0; gzip_vary on;")
        .file("html/large", &body)
        .file("html/a.txt", "text ".repeat(10_000))
        .start();
    for way in WAYS {
        let output = curl(&server, way, "/large", &[]);
        assert!(output.status.success() && output.stdout == body, "{way:?}");
        let output = curl(&server, way, "/large", &["--range", "1000000-9000000"]);
        assert!(output.stdout == body[1_000_000..=9_000_000], "{way:?}");
        let packed = curl(&server, way, "/a.txt", &["--compressed", "-D", "-"]);
        let packed = text(&packed);
        assert!(packed.contains("\r\ncontent-encoding: gzip\r\n"), "{packed}");
        assert!(packed.ends_with(&format!("\r\n\r\n{}", "text ".repeat(10_000))));
        let head = text(&curl(&server, way, "/large", &["--head"]));
        assert!(head.starts_with("HTTP/2 200 \r\n"), "{head}");
        assert!(head.contains("\r\ncontent-length: 20000000\r\n"), "{head}");
        assert_eq!(
            text(&curl(&server, way, "/none", &[&["-o", "/dev/null"], &VERSION[..]].concat())),
            " 2 404"
        );
        let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
        let condition = format!("If-None-Match: {etag}");
        assert_eq!(
            text(&curl(&server, way, "/large", &[&["-H", &condition], &VERSION[..]].concat())),
            " 2 304"
        );
    }
}

#[test]
fn uploads_arrive_whole() {
    let backend = Backend::new(|seen| Reply::ok(format!("{} bytes", seen.body.len())));
    let body = content(5_000_000);
    let conf = "client_max_body_size 0;
        location / { proxy_pass http://%backend%; }
        location /through { proxy_pass http://%backend%; proxy_request_buffering off; }";
    let server = server(conf).set("backend", backend.address()).file("body", &body).start();
    let file = server.directory().join("body");
    let (put, post) = (file.to_str().unwrap(), format!("@{}", file.display()));
    let form = format!("file=@{}", file.display());
    for (way, target) in WAYS.into_iter().flat_map(|way| [(way, "/"), (way, "/through")]) {
        for flags in [
            &["-T", put][..],
            &["--data-binary", &post],
            &["-H", "Expect: 100-continue", "-T", put],
        ] {
            let output = curl(&server, way, target, &[flags, &VERSION].concat());
            assert_eq!(text(&output), "5000000 bytes 2 200", "{way:?} {target} {flags:?}");
            assert!(backend.last().body == body);
            assert_eq!(backend.last().header("Content-Length"), Some("5000000"));
        }
        // Of unknown length.
        let mut child = command(&server, way, target, &[&["-T", "-"], &VERSION[..]].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&body).unwrap();
        assert_eq!(
            text(&child.wait_with_output().unwrap()),
            "5000000 bytes 2 200",
            "{way:?} {target}"
        );
        assert!(backend.last().body == body);
        let output = curl(&server, way, target, &["-F", &form, "-F", "a=b"]);
        assert!(text(&output).ends_with(" bytes"));
        let part = b"Content-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n";
        assert!(backend.last().body.windows(part.len()).any(|bytes| bytes == part));
    }
}

#[test]
fn uploads_that_are_too_large_are_refused() {
    let backend = Backend::text("never");
    let server = server("location / { client_max_body_size 1k; proxy_pass http://%backend%; }")
        .set("backend", backend.address())
        .file("body", content(2_000_000))
        .start();
    let file = server.directory().join("body");
    let flags = ["-T", file.to_str().unwrap(), "-o", "/dev/null"];
    // The response comes although the upload has not ended. In cleartext this curl does not look at
    // a response before a reset that comes with it.
    let output = curl(&server, Way::Tls, "/", &[&flags, &VERSION[..]].concat());
    assert_eq!(text(&output), " 2 413");
    assert_eq!(backend.count(), 0);
}

#[test]
fn parallel_requests_share_a_connection() {
    let server = server("").file("html/a", content(50_000)).start();
    // In cleartext, its parallel requests fail with each server, as each changes the connection.
    let target = "/a?[1-100]";
    let flags =
        ["-Z", "--parallel-max", "100", "-o", "/dev/null", "-w", "%{http_code} %{size_download}\n"];
    let said = text(&curl(&server, Way::Tls, target, &flags));
    assert_eq!(said.matches("200 50000\n").count(), 100, "{said}");
    let lines = server.wait_lines("own.log", 100);
    let connections: std::collections::BTreeSet<&str> =
        lines.iter().map(|line| line.split(' ').nth(2).unwrap()).collect();
    assert_eq!(connections.len(), 1, "{lines:?}");
    assert!(lines.iter().all(|line| line.starts_with("HTTP/2.0 h2 ")), "{lines:?}");
}

#[test]
fn hints_come_before_the_response() {
    let backend = Backend::new(|_| {
        let head = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
        Reply::Bytes(format!("{head}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody").into())
    });
    let server = server("location / { early_hints $http2; proxy_pass http://%backend%; }")
        .set("backend", backend.address())
        .start();
    for way in WAYS {
        let said = text(&curl(&server, way, "/", &["-i"]));
        let hints = "HTTP/2 103 \r\nlink: </a.css>; rel=preload\r\n\r\nHTTP/2 200 \r\n";
        assert!(said.starts_with(hints) && said.ends_with("\r\n\r\nbody"), "{said}");
    }
}

#[test]
fn trailers_come_after_the_response() {
    let backend = Backend::new(|_| {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n";
        Reply::Bytes(format!("{head}4\r\nbody\r\n0\r\nX-Sum: 9\r\n\r\n").into())
    });
    let server = server(
        "location / { proxy_pass http://%backend%; proxy_http_version 1.1;
            proxy_pass_trailers on; proxy_set_header TE trailers; proxy_set_header Connection TE; 
            add_trailer X-Own $status; }",
    )
    .set("backend", backend.address())
    .start();
    for way in WAYS {
        let said = text(&curl(&server, way, "/", &["-D", "-", "-H", "TE: trailers"]));
        for field in ["x-sum: 9\r\n", "x-own: 200\r\n"] {
            let (_, rest) = said.split_once("\r\n\r\n").unwrap();
            assert!(rest.contains(field), "{field:?} {said}");
        }
    }
}

#[test]
fn long_fields_and_cookies_pass() {
    let backend = Backend::echo();
    let server = server("location / { proxy_pass http://%backend%; }")
        .set("backend", backend.address())
        .start();
    let long = format!("X-Long: {}", "l".repeat(30_000));
    for way in WAYS {
        let flags = ["-H", &long, "-b", "a=1; b=2", "-u", "user:password", "-e", "http://a/"];
        let said = text(&curl(&server, way, "/?a=b%20c", &flags));
        let lower = said.to_lowercase();
        assert!(said.starts_with("GET /?a=b%20c HTTP/1."), "{said}");
        assert!(lower.contains(&format!("\r\n{}\r\n", long.to_lowercase())));
        assert!(lower.contains("\r\ncookie: a=1; b=2\r\n"), "{said}");
        assert!(lower.contains("\r\nauthorization: basic dxnlcjpwyxnzd29yza==\r\n"), "{said}");
        let file = server.directory().write("long", format!("X-Long: {}", "l".repeat(200_000)));
        let fields = format!("@{}", file.display());
        let output =
            curl(&server, way, "/", &[&["-H", &fields, "-o", "/dev/null"], &VERSION[..]].concat());
        // Its status, or an end of the connection in place of it.
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said == " 2 400" || said == " 2 431" || !output.status.success(), "{said}");
    }
}

#[test]
fn downloads_that_end_early_end_the_upstreams() {
    let (told, ends) = channel();
    let told = Mutex::new(told);
    let backend = Backend::new(move |_| {
        let told = told.lock().unwrap().clone();
        Reply::Custom(Box::new(move |stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(&[b'x'; 65536]).is_ok() {}
            let _ = told.send(());
        }))
    });
    let server = server("location / { proxy_pass http://%backend%; proxy_max_temp_file_size 0; }")
        .set("backend", backend.address())
        .start();
    for way in WAYS {
        let mut child = command(&server, way, "/", &[]).stdout(Stdio::piped()).spawn().unwrap();
        child.stdout.take().unwrap().read_exact(&mut vec![0; 1_000_000]).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        ends.recv_timeout(PATIENCE).expect("the end of the upstream connection");
    }
}
