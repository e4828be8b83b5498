//! `weir top`: a page of text, and a terminal with keys (`docs/howto/top.md`).

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::{Backend, Server, binary, is_nginx, until};

const CONF: &str = "upstream app { zone app 64k; server %a% weight=2; server 127.0.0.1:1 down; }
    server {
        listen 127.0.0.1:%port%;
        status_zone site;
        location / { proxy_pass http://app; }
        location /api/ { api write=on; }
        location /closed/ { api; auth_basic x; auth_basic_user_file users; }
    }";

fn start() -> (Backend, Server) {
    let backend = Backend::text("a");
    let setup = Server::http(CONF).set("a", backend.address());
    (backend, setup.file("users", "me:{PLAIN}secret\n").start())
}

fn top(words: &[&str]) -> Output {
    Command::new(binary()).arg("top").args(words).output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_page_of_text() {
    if is_nginx() {
        return;
    }
    let (backend, server) = start();
    assert_eq!(server.text("/"), "a");
    // The configuration names the API.
    let prefix = format!("{}/", server.directory().path().display());
    let words = ["--once", "--interval=1", "-p", &prefix, "-c", "nginx.conf"];
    let page = text(&top(&words));
    let port = server.port("port");
    assert!(page.starts_with(&format!("weir 0.1.0  127.0.0.1:{port}/api")), "{page}");
    assert!(page.contains("app: 1 of 2 up"), "{page}");
    let line = page.lines().find(|line| line.contains(&backend.address())).unwrap();
    assert!(line.contains(" up "), "{page}");
    assert!(page.lines().any(|line| line.starts_with("site ")), "{page}");
    // So does a URL, with a password.
    let url = format!("http://me:secret@127.0.0.1:{port}/closed/");
    assert!(text(&top(&["--once", "--interval=1", &url])).contains("app: 1 of 2 up"));
}

#[test]
fn what_is_wrong_is_said() {
    if is_nginx() {
        return;
    }
    let (_backend, server) = start();
    let port = server.port("port");
    let prefix = format!("{}/", server.directory().path().display());
    server.directory().write("other.conf", "events {} http { server { location / { } } }");
    for (words, expected) in [
        (vec![format!("http://127.0.0.1:{port}/closed/")], "answers 401"),
        (vec![format!("http://127.0.0.1:{port}/nothing/")], "is no API"),
        (vec!["http://127.0.0.1:1/api/".to_owned()], "Connection refused"),
        (vec!["https://127.0.0.1/".to_owned()], "speaks no TLS"),
        (vec!["-p".to_owned(), prefix, "-c".to_owned(), "other.conf".to_owned()], "has \"api\""),
        (vec!["--interval=0".to_owned()], "Usage: weir top"),
    ] {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let output = top(&[&["--once"], &words[..]].concat());
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(!output.status.success() && said.contains(expected), "{words:?}: {said}");
    }
}

/// `weir top` in a terminal of its own.
struct Terminal {
    child: Child,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn open(url: &str) -> Self {
        Self::sized(url, "", (120, 30))
    }

    /// A terminal of a size, with variables of the environment.
    fn sized(url: &str, variables: &str, (columns, rows): (u32, u32)) -> Self {
        let program = binary();
        let size = format!("stty cols {columns} rows {rows}");
        let program = program.display();
        let command = format!("{size}; exec env {variables} {program} top {url}");
        let mut script = Command::new("script");
        script.args(["--quiet", "--flush", "--command", &command, "/dev/null"]);
        script.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = script.spawn().unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut output, all) = (child.stdout.take().unwrap(), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut bytes) {
                all.lock().unwrap().extend_from_slice(&bytes[..length]);
            }
        });
        Self { child, shown }
    }

    fn wait(&self, text: &str) {
        let shown = || String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned();
        until(text, || shown().contains(text));
        self.shown.lock().unwrap().clear();
    }

    fn press(&mut self, keys: &str) {
        self.child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn keys_drain_a_server_and_take_it_back() {
    if is_nginx() {
        return;
    }
    let (backend, server) = start();
    let state = || {
        let servers = server.api_get("http/upstreams/app");
        servers["peers"][0]["state"].as_str().unwrap().to_owned()
    };
    let url = format!("http://{}/api/", server.address("port"));
    let mut terminal = Terminal::open(&url);
    terminal.wait(&backend.address());
    terminal.press("d");
    terminal.wait(&format!("drain {}? y or n", backend.address()));
    assert_eq!(state(), "up");
    terminal.press("y");
    until("the drain", || state() == "draining");
    terminal.wait("u takes it back");
    terminal.press("u");
    until("the return", || state() == "up");
    // A weight, and another page.
    terminal.press("w7\r");
    until("the weight", || server.api_get("http/upstreams/app")["peers"][0]["weight"] == 7);
    terminal.press("2");
    terminal.wait("site ");
    terminal.press("q");
    terminal.wait("\x1b[?1049l");
    assert!(terminal.child.wait().unwrap().success());
}

#[test]
fn what_others_have_changed_is_not_overwritten() {
    if is_nginx() {
        return;
    }
    let (backend, server) = start();
    let path = "http/upstreams/app/servers/0";
    let weigh = |weight: u32| {
        server.api_json("PATCH", path, &json!({ "weight": weight }), 200);
    };
    let weight = || server.api_get(path)["weight"].clone();
    let url = format!("http://{}/api/", server.address("port"));
    let mut terminal = Terminal::open(&url);
    terminal.wait(&backend.address());
    // The question was asked about a weight of 2.
    terminal.press("w");
    terminal.wait("now 2: _");
    weigh(9);
    terminal.press("7\r");
    terminal.wait("is unchanged: it has been changed meanwhile; server \"0\" has \"weight\" 9");
    terminal.wait(&format!("{:<18} {:>6}", "up", 9));
    assert_eq!(weight(), 9);
    // So does the way back rest on what the change has made.
    terminal.press("w");
    terminal.wait("now 9: _");
    terminal.press("3\r");
    terminal.wait("u takes it back");
    weigh(5);
    terminal.press("u");
    terminal.wait("has \"weight\" 5 and not 3");
    assert_eq!(weight(), 5);
    terminal.press("u");
    terminal.wait("there is nothing to take back");
    // A weight says nothing about a drain.
    terminal.press("d");
    terminal.wait("? y or n");
    weigh(6);
    terminal.press("y");
    until("the drain", || server.api_get(path)["drain"] == true);
    terminal.press("x");
    terminal.wait("? y or n");
    server.api_json("DELETE", path, &Value::Null, 200);
    terminal.press("y");
    terminal.wait("is unchanged: there is no such server any more");
}

#[test]
fn a_request_that_hangs_is_found() {
    if is_nginx() {
        return;
    }
    // It takes connections, and answers nothing.
    let hung = TcpListener::bind("127.0.0.1:0").unwrap();
    let conf = "server { listen 127.0.0.1:%port%; request_records on;
        location /api { api; request_records off; }
        location / { proxy_pass http://%hung%; } }";
    let server = Server::http(conf).set("hung", hung.local_addr().unwrap()).start();
    let mut client = server.client();
    client.send("GET /hung%1b[2J HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut id = String::new();
    until("the request", || {
        let all = server.api_get("http/requests_under_way/");
        id = all[0]["id"].as_str().unwrap_or_default().to_owned();
        all[0]["doing"] == "response_head"
    });
    let url = format!("http://{}/api/", server.address("port"));
    let mut terminal = Terminal::sized(&url, "NO_COLOR=1 LC_ALL=C", (80, 24));
    terminal.wait("5 requests");
    terminal.press("5");
    terminal.wait("response head for ");
    terminal.press("\r");
    terminal.wait(&id);
    terminal.press("\x1b");
    terminal.wait("NOW, OR ITS END");
    // By its id, from another page.
    terminal.press(&format!("1f{id}\r"));
    terminal.wait("attempt at ");
    terminal.press("f0\r");
    terminal.wait("there is no record of a request");
    terminal.press("6");
    terminal.wait("CAUSE");
    terminal.press("7");
    terminal.wait("longest turn");
    let text = text(&top(&["--once", "--interval=1", &url]));
    assert!(text.contains("response head for "), "{text}");
}

#[test]
fn a_terminal_of_ten_rows_without_colours() {
    if is_nginx() {
        return;
    }
    let conf = "upstream \"a b%\u{e9}\" { zone app 64k; server 127.0.0.1:1; }
        server { listen 127.0.0.1:%port%; location /api { api write=on; } }";
    let server = Server::http(conf).start();
    let url = format!("http://{}/api/", server.address("port"));
    let mut terminal = Terminal::sized(&url, "NO_COLOR=1 LC_ALL=C", (40, 10));
    terminal.wait("a b%?: 1 of 1 up");
    // The group's name is escaped in the path.
    terminal.press("xy");
    until("the change", || {
        let groups = server.api_get("http/upstreams/");
        groups["a b%\u{e9}"]["peers"][0]["state"] == "down"
    });
    terminal.press("q");
    terminal.wait("\x1b[?1049l");
}
