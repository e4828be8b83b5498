//! A connection, driven by frames that are written by hand, or by its other side.

mod client;
mod floods;
mod pair;
mod raw;
mod rules;
mod sending;
mod simulation;

use super::*;

/// Settings as a server has them.
fn config(role: Role) -> Config {
    Config {
        role,
        max_streams: 8,
        stream_window: 65_535,
        connection_window: 1 << 20,
        max_frame: 16_384,
        chunk: 8192,
        max_head: 16_384,
        max_fields: 100,
        extended_connect: false,
    }
}

#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<Connection>() <= 1024, "{}", size_of::<Connection>());
    assert!(size_of::<crate::h2::stream::Stream>() <= 64);
}
