//! `weir top`: a page of text, and a terminal with keys (`docs/howto/top.md`).

use std::process::{Command, Output};

use crate::harness::{Backend, Server, binary};

mod keys;
mod pages;
mod surroundings;
mod terminal;

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
