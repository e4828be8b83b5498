//! Terminals of any kind and size, and an API that comes and goes.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::{Arc, Mutex};

use super::start;
use super::terminal::Terminal;
use crate::harness::{Server, binary, is_nginx, until};

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
