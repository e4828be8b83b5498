//! A Flask application under uwsgi and gunicorn.

use super::{Browser, content, form, how_to, md5, server, take_chunks};
use crate::harness::{Python, Server, is_nginx, skipped, until};

const APP: &str = include_str!("app.py");
const PAGE: &str = include_str!("../../docs/howto/python.md");

/// As Flask's documentation has it.
const FLASK: &str = "
server {
    listen 127.0.0.1:%port%;
    client_max_body_size 20m;
    location = / { try_files $uri @app; }
    location / { try_files $uri @app; }
    location @app {
        include uwsgi_params;
        uwsgi_pass unix:%app%/socket;
    }
    location /protected/ { internal; alias %app%/private/; }
}";

/// As gunicorn's page about its deployment has it.
const GUNICORN: &str = "
upstream app_server { server unix:%app%/socket fail_timeout=0; }
server { listen 127.0.0.1:%port% default_server; return 444; }
server {
    listen 127.0.0.1:%port%;
    client_max_body_size 4G;
    server_name localhost a;
    keepalive_timeout 5;
    root %app%/static;
    location / { try_files $uri @proxy_to_app; }
    location @proxy_to_app {
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header Host $http_host;
        proxy_redirect off;
        proxy_pass http://app_server;
    }
    location /protected/ { internal; alias %app%/private/; }
    error_page 500 502 503 504 /500.html;
    location = /500.html { root %app%/static; }
}";

/// Whether Flask is there for the Python that the servers use.
fn has_flask() -> bool {
    std::path::Path::new("/usr/lib/python3/dist-packages/flask/app.py").exists()
}

#[test]
fn the_how_to_serves_flask_by_uwsgi() {
    let places = [
        ("app.example", "localhost"),
        ("unix:/run/app.sock", "unix:%app%/socket"),
        ("/srv/app/static/", "%app%/static/"),
        ("/srv/app/private/", "%app%/private/"),
    ];
    by_uwsgi(&how_to(PAGE, 0, &places), true);
}

#[test]
fn the_example_of_flask_serves_it_by_uwsgi() {
    by_uwsgi(FLASK, false);
}

#[test]
fn the_how_to_serves_flask_by_gunicorn() {
    let places = [
        ("app.example", "localhost"),
        ("unix:/run/app.sock", "unix:%app%/socket"),
        ("/srv/app/static", "%app%/static"),
    ];
    let conf = how_to(PAGE, 1, &places);
    let protected = "location /protected/ { internal; alias %app%/private/; }\n    error_page";
    by_gunicorn(&conf.replace("error_page", protected));
}

#[test]
fn the_example_of_gunicorn_serves_flask() {
    by_gunicorn(GUNICORN);
}

fn by_uwsgi(conf: &str, takes_chunks: bool) {
    if !has_flask() {
        return skipped("no Flask");
    }
    let Some(python) = Python::uwsgi(APP, "app") else { return skipped("no uwsgi") };
    let server = serve(conf, &python);
    assert_eq!(server.text("/"), "home localhost http 127.0.0.1");
    ask_all(&server, &python, takes_chunks);
}

fn by_gunicorn(conf: &str) {
    if !has_flask() {
        return skipped("no Flask");
    }
    let Some(mut python) = Python::gunicorn(APP, "app") else { return skipped("no gunicorn") };
    let server = serve(conf, &python);
    assert!(server.text("/").starts_with("home localhost http"));
    ask_all(&server, &python, true);
    // The page of the configuration in place of the application's.
    python.end();
    let response = server.get("/");
    assert_eq!((response.status, response.text()), (502, "sorry".to_owned()));
    assert_eq!(server.text("/app.css"), "p {}");
}

fn serve(conf: &str, python: &Python) -> Server {
    python.directory.write("static/app.css", "p {}");
    python.directory.write("static/500.html", "sorry");
    python.directory.write("private/report.bin", "0123456789");
    server(conf).set("app", python.directory.path().display()).start()
}

fn ask_all(server: &Server, python: &Python, takes_chunks: bool) {
    for (target, status, text) in [
        ("/post/a%20b/c?page=2", 200, "post a b/c 2"),
        ("/post/gr%C3%BC%C3%9Fe", 200, "post gr\u{fc}\u{df}e 1"),
        ("/none", 404, "Not Found"),
        ("/fault?abort", 418, "teapot"),
        ("/fault", 500, "Internal Server Error"),
    ] {
        let response = server.get(target);
        assert_eq!(response.status, status, "{target}");
        assert!(response.text().contains(text), "{target}: {}", response.text());
    }
    sessions(server);
    uploads(server, takes_chunks);
    streams(server, python);
    events(server, python);
    let large = server.get("/large");
    assert_eq!((large.status, large.body.len()), (200, 50_000 * 41));
    let report = server.get_with("/download", "Range: bytes=2-4\r\n");
    assert_eq!((report.status, report.text()), (206, "234".to_owned()));
    assert!(report.header("Content-Type").unwrap().starts_with("text/x-report"));
    assert_eq!(server.get("/protected/report.bin").status, 404);
}

fn sessions(server: &Server) {
    let (mut one, mut other) = (Browser::new(server), Browser::new(server));
    let response = one.ask("POST", "/login", "name=Ada");
    assert_eq!((response.status, response.header("Location")), (302, Some("/me")));
    assert_eq!(one.ask("GET", "/me", "").text(), "Ada 1");
    assert_eq!(other.ask("GET", "/me", "").text(), "nobody 1");
    assert_eq!(one.ask("GET", "/me", "").text(), "Ada 2");
    let response = one.ask("GET", "/absolute", "");
    assert_eq!((response.status, response.header("Location")), (301, Some("http://localhost/me")));
}

fn uploads(server: &Server, takes_chunks: bool) {
    for length in [0, 5, 3_000_000] {
        let sent = content(length);
        let answer = server.ask(form("/upload", "a b.bin", &sent, "A title"));
        let expected = format!("a b.bin {} A title", md5(&sent));
        assert_eq!((answer.status, answer.text()), (200, expected));
    }
    // Flask does not believe uwsgi that a chunked body has a length.
    let sent = content(if takes_chunks { 300_000 } else { 0 });
    let mut client = server.client();
    client.send("PUT /upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in sent.chunks(9000) {
        client.send(format!("{:x}\r\n", piece.len())).send(piece).send("\r\n");
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.response().text(), md5(&sent));
}

/// What the application yields arrives at once.
fn streams(server: &Server, python: &Python) {
    let mut client = server.client();
    client.send("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.head().header("Transfer-Encoding"), Some("chunked"));
    take_chunks(&mut client, "one\n");
    python.directory.write("go-0", "");
    take_chunks(&mut client, "two\n");
    python.directory.write("go-1", "");
    take_chunks(&mut client, "three\n");
    assert!(client.take_chunk().is_empty());
}

fn events(server: &Server, python: &Python) {
    if is_nginx() && !server.directory().read("nginx.conf").contains("_buffering off") {
        // It holds events back until a buffer is full.
        return;
    }
    let mut client = server.client();
    client.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = client.head();
    assert_eq!(head.header("Content-Type"), Some("text/event-stream; charset=utf-8"));
    take_chunks(&mut client, "id: 1\ndata: first\n\n");
    python.directory.write("event", "");
    take_chunks(&mut client, "id: 2\ndata: second\n\n");
    assert!(client.take_chunk().is_empty());
    std::fs::remove_file(python.directory.join("event")).unwrap();
    // Some leave in the middle.
    for _ in 0..3 {
        let mut client = server.client();
        client.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(client.head().status, 200);
    }
    python.directory.write("event", "");
    until("the application", || server.get("/me").status == 200);
}
