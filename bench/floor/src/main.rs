//! What moving the bytes alone costs: what a client sends goes to the backend as it came, and what
//! the backend sends goes back. One read is taken for a whole message, and nothing is looked at, kept
//! or limited, so no proxy that does its work can be cheaper than this on the same kernel.
//!
//! `weir-bench-floor epoll|io_uring|splice PORT BACKEND`
//!
//! By `splice` answers may be of any length.
//!
//! The same program is the backend of the measurements with small answers:
//!
//! `weir-bench-floor answer PORT`

mod answer;
mod completion;
mod connections;
mod moving;
mod readiness;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Bytes of the largest message.
const MESSAGE: usize = 8192;

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let port = |text: &str| SocketAddr::from((Ipv4Addr::LOCALHOST, text.parse().expect("a port")));
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["answer", front] => answer::run(&TcpListener::bind(port(front))?),
        ["epoll", front, backend] => {
            readiness::run(&TcpListener::bind(port(front))?, port(backend))
        }
        ["io_uring", front, backend] => {
            completion::run(&TcpListener::bind(port(front))?, port(backend))
        }
        ["splice", front, backend] => moving::run(&TcpListener::bind(port(front))?, port(backend)),
        _ => panic!("usage: weir-bench-floor epoll|io_uring|splice PORT BACKEND, or answer PORT"),
    }
}
