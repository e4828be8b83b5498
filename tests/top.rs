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
        (vec![format!("http://127.0.0.1:{port}/closed/")], "answers 401: name the URL with"),
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
        Self::run(&format!("{size}; exec env {variables} {program} top {url}"))
    }

    /// A terminal in which a shell runs a command.
    fn run(command: &str) -> Self {
        let mut script = Command::new("script");
        script.args(["--quiet", "--flush", "--command", command, "/dev/null"]);
        script.env("TERM", "xterm");
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

    /// The bytes that were shown since the last wait.
    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    fn press(&mut self, keys: &str) {
        self.child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let shown = self.shown();
            eprintln!("shown last: {:?}", shown.rsplit("\x1b[H").next());
        }
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
    // The server that is down comes first.
    terminal.press("jd");
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
    terminal.press("jw");
    terminal.wait("now 2: _");
    weigh(9);
    terminal.press("7\r");
    terminal.wait("is unchanged: it has been changed meanwhile; server \"0\" has \"weight\" 9");
    terminal.wait(&format!("{:<9} {:>6}", "up", 9));
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
    let mut terminal = Terminal::sized(&url, "NO_COLOR=1 LC_ALL=C", (90, 24));
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

#[test]
fn help_is_no_fault() {
    if is_nginx() {
        return;
    }
    for word in ["--help", "-h"] {
        let output = top(&[word]);
        assert!(output.status.success() && output.stderr.is_empty());
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("Usage: weir top"));
    }
}

/// A server that sends the same bytes to each request.
fn stand_in(reply: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/api/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                match stream.read(&mut byte) {
                    Ok(1) => head.push(byte[0]),
                    _ => break,
                }
            }
            // It may have left.
            let _ = stream.write_all(reply);
        }
    });
    url
}

#[test]
fn what_others_answer_is_said_without_harm() {
    if is_nginx() {
        return;
    }
    let api = |status: &str, body: &str| -> &'static [u8] {
        let reply = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        reply.into_bytes().leak()
    };
    let error = r#"{"error": {"text": "no\u001b[2J\u009b5n\u202enever"}}"#;
    let location = &b"HTTP/1.1 301 Moved\r\nlocation: http://b/\x1b[2J\r\n\r\n"[..];
    for (reply, expected) in [
        (location, "answers 301: it is at http://b/?[2J"),
        (&b"SSH-2.0-OpenSSH\r\n"[..], "does not answer in HTTP"),
        (b"", "unexpected end of file"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "answers without JSON"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"a\":", "answers without JSON"),
        (api("500 Oops", error), "answers 500: no?[2J?5n?never"),
        (api("404 Not Found", "{}"), "is no API"),
    ] {
        let output = top(&["--once", &stand_in(reply)]);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!output.status.success() && said.contains(expected), "{expected}: {said}");
        assert!(!said.contains(['\x1b', '\u{9b}', '\u{202e}']), "{said:?}");
    }
    // Another program's JSON, or that of a release without what is asked for.
    for reply in ["{}", "[]", "7", "[[1], {}]", r#"{"peers": [7, {"id": "x"}]}"#] {
        let page = text(&top(&["--once", "--interval=1", &stand_in(api("200 OK", reply))]));
        assert!(page.contains("UPSTREAM, SERVER"), "{reply}: {page}");
    }
}

#[test]
fn the_terminal_is_given_back() {
    if is_nginx() {
        return;
    }
    let (backend, server) = start();
    let url = format!("http://{}/api/", server.address("port"));
    let program = binary();
    let program = program.display();
    // Ctrl-Z, then again the page, then a signal.
    let mut terminal = Terminal::run(&format!(
        "stty cols 100 rows 24; set -m; {program} top {url}; stty -a; echo STOPPED; read line;
         fg; stty -a; echo ENDED"
    ));
    terminal.wait(&backend.address());
    terminal.press("\x1a");
    until("the stop", || terminal.shown().contains("STOPPED"));
    let shown = terminal.shown();
    let settings = shown.rsplit("\x1b[?1049l").next().unwrap();
    assert!(settings.contains(" icanon") && settings.contains(" echo "), "{settings}");
    terminal.wait("STOPPED");
    terminal.press("\n");
    terminal.wait("\x1b[?1049h");
    terminal.wait(&backend.address());
    terminal.press("q");
    until("the end", || terminal.shown().contains("ENDED"));
    let shown = terminal.shown();
    let settings = shown.rsplit("\x1b[?1049l").next().unwrap();
    assert!(settings.contains(" icanon") && settings.contains(" echo "), "{settings}");
    for signal in ["TERM", "INT", "HUP"] {
        let mut terminal = Terminal::run(&format!("echo pid $$ .; exec {program} top {url}"));
        until("the page", || terminal.shown().contains(&backend.address()));
        let shown = terminal.shown();
        let pid = shown.split("pid ").nth(1).unwrap().split(' ').next().unwrap();
        Command::new("kill").args(["-s", signal, pid]).status().unwrap();
        terminal.wait("\x1b[?1049l");
        terminal.child.wait().unwrap();
    }
}

#[test]
fn a_terminal_without_a_name_gets_text() {
    if is_nginx() {
        return;
    }
    let (backend, server) = start();
    let url = format!("http://{}/api/", server.address("port"));
    for variables in ["-u TERM", "TERM=dumb", "TERM="] {
        let mut terminal = Terminal::sized(&format!("--interval=1 {url}"), variables, (80, 24));
        assert!(terminal.child.wait().unwrap().success());
        until("the page", || terminal.shown().contains(&backend.address()));
        assert!(!terminal.shown().contains('\x1b'), "{}", terminal.shown());
    }
}

#[test]
fn a_group_of_many_servers() {
    if is_nginx() {
        return;
    }
    let servers: String =
        (0..450).map(|at| format!("server 127.1.{}.{}:1;", at / 100, at % 100)).collect();
    let conf = format!(
        "upstream big {{ zone big 1m; {servers} server 127.9.9.9:1 down; }}
         upstream other {{ zone other 64k; server 127.2.0.1:1; }}
         server {{ listen 127.0.0.1:%port%; location /api/ {{ api write=on; }} }}"
    );
    let server = Server::http(&conf).start();
    let url = format!("http://{}/api/", server.address("port"));
    let mut terminal = Terminal::open(&url);
    terminal.wait("big: 450 of 451 up, 0 requests/s, 251 more");
    terminal.wait("127.9.9.9:1 ");
    // A server that is not among the first is found by its address, and changed.
    terminal.press("/127.1.4.4\r");
    terminal.wait("127.1.4.49:1 ");
    terminal.press("jd");
    terminal.wait("drain 127.1.4.40:1? y or n");
    terminal.press("y");
    until("the drain", || server.api_get("http/upstreams/big/servers/440")["drain"] == true);
    terminal.wait("draining");
    // Only one group, and only what was taken out.
    terminal.press("\x1b");
    terminal.wait("251 more");
    terminal.press("G");
    terminal.wait("other: 1 of 1 up");
    terminal.press("g\r");
    terminal.wait("[only big]");
    terminal.press("t");
    terminal.press("t");
    terminal.wait("[only big, only servers that are drained or down]");
    terminal.press("G\r");
    terminal.wait("of big, number ");
    terminal.press("\x1b");
    terminal.wait("127.1.4.40:1 ");
    // The servers beyond the list.
    terminal.press("\x1b");
    terminal.wait("251 more");
    terminal.press("G");
    terminal.wait("other: 1 of 1 up");
    terminal.press("j");
    terminal.wait("[from 201 on]");
    terminal.wait("127.1.2.5:1 ");
    terminal.press("\x1b[5~");
    terminal.wait("127.9.9.9:1 ");
}

/// A proxy of the API that can be away.
#[test]
fn an_api_that_is_away_is_waited_for() {
    if is_nginx() {
        return;
    }
    let (backend, server) = start();
    let (api, listener) = (server.address("port"), TcpListener::bind("127.0.0.1:0").unwrap());
    let url = format!("http://{}/api/", listener.local_addr().unwrap());
    let is_away = Arc::new(Mutex::new(false));
    let away = Arc::clone(&is_away);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if *away.lock().unwrap() {
                continue;
            }
            let mut upstream = std::net::TcpStream::connect(&api).unwrap();
            let mut head = vec![0; 8192];
            let length = stream.read(&mut head).unwrap_or_default();
            upstream.write_all(&head[..length]).unwrap();
            let _ = std::io::copy(&mut upstream, &mut stream);
        }
    });
    let mut terminal = Terminal::sized(&format!("--interval=1 {url}"), "LC_ALL=C", (120, 30));
    terminal.wait(&backend.address());
    *is_away.lock().unwrap() = true;
    terminal.wait("trying again");
    // Keys are heeded, and what was seen is still there.
    terminal.press("2");
    terminal.wait("site ");
    terminal.press("1");
    terminal.wait("old for ");
    *is_away.lock().unwrap() = false;
    until("the return", || {
        terminal.shown.lock().unwrap().clear();
        std::thread::yield_now();
        until("a page", || terminal.shown().contains("UPSTREAM"));
        let shown = terminal.shown();
        let last = shown.rsplit("\x1b[H").next().unwrap_or_default().to_owned();
        !last.contains("trying again")
    });
    terminal.press("q");
    terminal.wait("\x1b[?1049l");
}
