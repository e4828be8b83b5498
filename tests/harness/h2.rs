//! HTTP/2 as frames: a client and a scripted server that send what they are told to, right or
//! wrong, and decode what comes back.

mod client;
mod fields;
mod frame;
mod peer;
mod server;
mod wire;

pub(crate) use client::{H2Answer, H2Client};
pub(crate) use fields::{literals, marked_literal, request};
pub(crate) use frame::{Frame, code, flag, frame_kind};
pub(crate) use peer::{Event, Peer};
pub(crate) use server::H2Upstream;
