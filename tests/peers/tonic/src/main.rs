//! A client and a server of gRPC by tonic, for the end-to-end tests of Weir.
//! `tests/harness/grpc.rs` describes its commands, which it shares with `tests/peers/grpcio.py`.
#![forbid(unsafe_code)]

mod call;
mod codec;
mod pattern;
mod serve;

use std::io;

#[tokio::main(worker_threads = 2)]
async fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => serve::run().await,
        ["call", address] => call::run(address).await,
        _ => Err(io::Error::other("usage: serve | call ADDRESS")),
    }
}
