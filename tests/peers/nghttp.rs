//! nghttp and h2load, nghttp2's clients.

use std::process::{Command, Stdio};

use super::{content, with_certificate};
use crate::harness::{Backend, Reply, Server, Setup, Signal, skipped};

/// A page with four other files.
const PAGE: &str = "<html><head><link rel=\"stylesheet\" href=\"/a.css\"><script src=\"/a.js\">\
    </script></head><body><img src=\"/a.png\"><img src=\"/b.png\"></body></html>";

/// A server of cleartext and TLS with this text in both.
fn server(conf: &str) -> Setup {
    let http = "http2 on; log_format f '$server_protocol $http2 $connection $status';
         ssl_certificate own.crt; ssl_certificate_key own.key;
         server { listen 127.0.0.1:%port%; listen 127.0.0.1:%port_s% ssl;
            access_log %dir%/own.log f; root %dir%/html; default_type text/html;
            types { text/css css; } %conf% }";
    with_certificate(Server::http(http))
        .0
        .set("conf", conf)
        .file("html/index.html", PAGE)
        .file("html/a.css", "p {}")
        .file("html/a.js", "1")
        .file("html/a.png", content(300_000))
        .file("html/b.png", content(3000))
}

/// The addresses in cleartext and by TLS.
fn addresses(server: &Server) -> [String; 2] {
    [("http", "port"), ("https", "port_s")]
        .map(|(scheme, port)| format!("{scheme}://{}", server.address(port)))
}

/// What a program says; None, and a skipped test, without it.
fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let Ok(output) = output else {
        skipped(&format!("no {program}"));
        return None;
    };
    let [text, errors] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{text}{errors}", output.status);
    Some(text.into_owned())
}

#[test]
fn a_page_comes_with_its_files() {
    let server = server("").start();
    for address in addresses(&server) {
        let Some(said) = run("nghttp", &["-ans", &address]) else { return };
        let rows: Vec<&str> = said.lines().filter(|line| line.contains(" 200 ")).collect();
        for path in ["/", "/a.css", "/a.js", "/a.png", "/b.png"] {
            assert!(rows.iter().any(|row| row.ends_with(&format!(" {path}"))), "{said}");
        }
        assert_eq!(rows.len(), 5, "{said}");
    }
    let lines = server.wait_lines("own.log", 10);
    let of = |version: &str| lines.iter().filter(|line| line.starts_with(version)).count();
    assert_eq!((of("HTTP/2.0 h2c "), of("HTTP/2.0 h2 ")), (5, 5), "{lines:?}");
}

#[test]
fn windows_tables_and_frames_of_all_kinds_are_kept() {
    let server = server("").start();
    for address in addresses(&server) {
        for flags in [
            // Windows of streams and of the connection, in bits.
            &["-w", "10"][..],
            &["-w", "30", "-W", "30"],
            &["-w", "14", "-W", "20"],
            // Padding.
            &["-b", "255"],
            // The table of fields.
            &["-c", "0"],
            &["-c", "1048576", "-c", "0"],
            // HEADERS with CONTINUATION.
            &["--continuation"],
            &["-p", "1"],
            &["--no-dep"],
            &["--no-push", "--max-concurrent-streams", "1"],
            &["-m", "20"],
        ] {
            let url = format!("{address}/a.png");
            let Some(said) = run("nghttp", &[&["-ns"], flags, &[&*url]].concat()) else { return };
            let count = said.matches(" 200 292K ").count();
            assert_eq!(count, if flags[0] == "-m" { 20 } else { 1 }, "{flags:?} {said}");
        }
    }
}

#[test]
fn bodies_with_trailers_reach_upstreams() {
    let backend = Backend::new(|seen| Reply::ok(format!("{} bytes", seen.body.len())));
    let conf = "client_max_body_size 0; location / { proxy_pass http://%backend%; }
        location /through { proxy_pass http://%backend%; proxy_request_buffering off; }";
    let server = server(conf).set("backend", backend.address()).start();
    let body = content(300_000);
    let file = server.directory().join("html/a.png");
    for address in addresses(&server) {
        for target in ["/", "/through"] {
            for flags in [
                &[][..],
                &["--trailer", "x-sum: 9"],
                &["--no-content-length"],
                &["--expect-continue"],
                &["-b", "100", "-m", "5"],
            ] {
                let (url, file) = (format!("{address}{target}"), file.to_str().unwrap());
                let arguments = [&["-d", file], flags, &[&*url]].concat();
                let Some(said) = run("nghttp", &arguments) else { return };
                let times = if flags.contains(&"-m") { 5 } else { 1 };
                assert_eq!(said, "300000 bytes".repeat(times), "{arguments:?}");
                assert!(backend.last().body == body);
            }
        }
    }
}

/// The line of h2load for requests that all succeed with a status of 200.
fn all_succeed(said: &str, count: usize) {
    let line = format!(
        "requests: {count} total, {count} started, {count} done, {count} succeeded, 0 failed, \
         0 errored, 0 timeout"
    );
    assert!(said.contains(&line), "{said}");
    assert!(said.contains(&format!("status codes: {count} 2xx,")), "{said}");
}

#[test]
fn many_streams_of_many_connections_are_answered() {
    let backend = Backend::new(|seen| Reply::ok(format!("{} bytes", seen.body.len())));
    let conf = "keepalive_requests 100000; location /up { proxy_pass http://%backend%; }
        client_max_body_size 0;";
    let server = server(conf).set("backend", backend.address()).start();
    let file = server.directory().join("html/b.png");
    let post = ["-d", file.to_str().unwrap()];
    for address in addresses(&server) {
        for (target, count, flags) in [
            ("/a.css", "2000", &["-c", "10", "-m", "100"][..]),
            ("/b.png", "1000", &["-c", "5", "-m", "100", "-w", "12", "-W", "16"]),
            ("/a.png", "100", &["-c", "5", "-m", "20"]),
            ("/a.css", "1000", &["-c", "2", "-m", "300", "--header-table-size", "0"]),
            ("/up", "500", &["-c", "5", "-m", "20"]),
            ("/up", "200", &[&["-c", "5", "-m", "20"], &post[..]].concat()),
        ] {
            let url = format!("{address}{target}");
            let arguments = [&["-n", count], flags, &[&*url]].concat();
            let Some(said) = run("h2load", &arguments) else { return };
            all_succeed(&said, count.parse().unwrap());
        }
    }
}

#[test]
fn connections_end_after_their_requests_without_a_loss() {
    // After the most requests of a connection h2load opens no other, so each gets what it may.
    let server = server("keepalive_requests 50;").start();
    for address in addresses(&server) {
        let url = format!("{address}/a.css");
        let Some(said) = run("h2load", &["-n", "200", "-c", "4", "-m", "10", &url]) else { return };
        all_succeed(&said, 200);
    }
}

#[test]
fn a_load_survives_reloads() {
    let server = server("keepalive_requests 100000;").start();
    let url = format!("{}/a.css", addresses(&server)[0]);
    let address = url.as_str();
    std::thread::scope(|scope| {
        let load = scope.spawn(|| run("h2load", &["-n", "5000", "-c", "4", "-m", "20", address]));
        while !load.is_finished() {
            server.signal(Signal::HUP);
            std::thread::park_timeout(std::time::Duration::from_millis(100));
        }
        if let Some(said) = load.join().unwrap() {
            all_succeed(&said, 5000);
        }
    });
}
