//! A connection, driven by frames that are written by hand, or by its other side.

mod pair;

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
