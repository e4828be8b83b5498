//! What keys do.

use std::net::TcpListener;

use serde_json::{Value, json};

use super::terminal::Terminal;
use super::{start, text, top};
use crate::harness::{Server, is_nginx, until};

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
