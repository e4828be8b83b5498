//! The harness: a server under test, real servers behind it, a client, and waits.
//!
//! Nothing sleeps for a guessed time or uses a fixed port. A wait is for an event, has a deadline,
//! and names the event if the deadline passes.

mod apache;
mod api;
mod application;
mod backend;
mod browser;
mod chunk;
mod client;
mod directory;
mod etcd;
mod grpc;
mod h2;
mod held_disk;
mod kept_tls;
mod load;
mod network;
mod pebble;
mod php;
mod port;
mod process;
mod python;
mod server;
mod skipped;
mod tls;
mod wait;

pub(crate) use apache::Apache;
pub(crate) use api::api_call;
pub(crate) use application::{Answer, Application, Called};
pub(crate) use backend::{Backend, Reply, Seen};
pub(crate) use browser::Browser;
pub(crate) use chunk::{Chunk, chunk};
pub(crate) use client::{Client, Response};
pub(crate) use directory::Directory;
pub(crate) use etcd::{Etcd, etcd_is_there};
pub(crate) use grpc::{GrpcClient, GrpcServer, Library};
#[allow(unused_imports, reason = "the comparison uses more of it")]
pub(crate) use h2::H2Answer;
pub(crate) use h2::{
    Event, Frame, H2Client, H2Upstream, Peer, code, flag, frame_kind, literals, marked_literal,
    request,
};
pub(crate) use held_disk::{HeldDisk, Operation};
pub(crate) use kept_tls::KeptTls;
pub(crate) use load::{Load, Traffic};
pub(crate) use network::{Network, address};
pub(crate) use pebble::Pebble;
pub(crate) use php::Php;
pub(crate) use port::Port;
pub(crate) use process::{
    Daemon, Signal, binary, children, is_nginx, is_root, memory, own_memory, peak_memory, run,
    send_signal,
};
pub(crate) use python::Python;
pub(crate) use server::{Server, Setup};
pub(crate) use skipped::skipped;
pub(crate) use tls::Certificate;
pub(crate) use wait::{PATIENCE, until, until_some};
