//! Streams of 100 MiB, which cost Weir no memory.

use super::{GRPC, PROXY, grpc};
use crate::harness::Library::{Grpcio, Tonic};
use crate::harness::{Library, children, memory, peak_memory};

/// The most memory that a call may cost, in KiB: buffers of both sides, and windows of both
/// connections.
const MOST: u64 = 5 * 1024;

/// The most messages of 1 MiB that may be under way while the client reads none: what fits the
/// client's window, the server's, and the sockets between.
const UNDER_WAY: usize = 40;

const ALL: &str = "100 messages, 104857600 bytes";

fn streams(client: Library, server: Library, location: &str) {
    let Some((mut client, weir, _upstream)) = grpc(client, server, location) else { return };
    client.expect("large 4000000", "4000000 bytes, same: true");
    let worker = children(weir.pid())[0];
    let before = memory(worker);
    client.expect("scatter 100 1048576", ALL);
    client.expect("gather 100 1048576", ALL);
    client.expect("echo 100 1048576", ALL);
    let slow = client.ask("slow 100 1048576");
    let (sent, rest) = slow.split_once(" sent, ").unwrap_or_else(|| panic!("{slow}"));
    assert_eq!(rest, ALL);
    assert!(sent.parse::<usize>().unwrap() <= UNDER_WAY, "{slow}");
    let grown = peak_memory(worker).saturating_sub(before);
    assert!(grown <= MOST, "{grown} KiB more than {before}");
}

#[test]
fn from_grpcio_to_grpcio() {
    streams(Grpcio, Grpcio, GRPC);
}

#[test]
fn from_grpcio_to_tonic() {
    streams(Grpcio, Tonic, GRPC);
}

#[test]
fn from_tonic_to_grpcio() {
    streams(Tonic, Grpcio, GRPC);
}

#[test]
fn from_tonic_to_tonic() {
    streams(Tonic, Tonic, GRPC);
}

#[test]
fn by_the_proxy_module() {
    streams(Tonic, Grpcio, PROXY);
}
