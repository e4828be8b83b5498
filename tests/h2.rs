//! HTTP/2 with clients: what a real nginx does, and beyond it what RFC 9113 asks for.

use crate::harness::{Backend, Server, Setup};

mod attacks;
mod basics;
mod bodies;
mod faults;
mod graceful;
mod lifecycle;
mod limits;
mod priority;
mod responses;
mod tunnel;
mod websocket;

/// A server of HTTP/2 with this text inside `server { }`.
fn server(conf: &str) -> Setup {
    with("", conf)
}

/// A server of HTTP/2 with these texts inside `http { }` and `server { }`.
fn with(http: &str, conf: &str) -> Setup {
    Server::http(&format!(
        "http2 on; {http} server {{ listen 127.0.0.1:%port%; server_name localhost; {conf} }}"
    ))
}

/// A server that passes requests on to a backend of HTTP/1.1, with this text in `location / { }`.
fn proxy(backend: &Backend, conf: &str) -> Setup {
    server(&format!("location / {{ proxy_pass http://%backend%; {conf} }}"))
        .set("backend", backend.address())
}

/// A body that tells where its bytes are.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ (at >> 12) as u8).collect()
}
