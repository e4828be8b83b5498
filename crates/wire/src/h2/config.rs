//! What a user decides about a connection.

/// The side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It opens streams.
    Client,
    /// It accepts streams.
    Server,
}

/// The settings of this side, and its limits for the peer.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The side.
    pub role: Role,
    /// The maximum number of streams: that the peer may have open (server), or that this side
    /// opens, whatever the peer allows (client).
    pub max_streams: u32,
    /// The receive window of new streams, in bytes (SETTINGS_INITIAL_WINDOW_SIZE); at most 2^31-1.
    pub stream_window: u32,
    /// The receive window of the connection, in bytes; 65,535 to 2^31-1.
    pub connection_window: u32,
    /// The maximum payload of a received frame, in bytes (SETTINGS_MAX_FRAME_SIZE); 16,384 to
    /// 2^24-1.
    pub max_frame: u32,
    /// The maximum payload of a sent DATA frame, in bytes (`http2_chunk_size`), within what the
    /// peer allows.
    pub chunk: u32,
    /// The maximum sum of names and values of a head, in bytes.
    pub max_head: u32,
    /// The maximum number of fields in a head.
    pub max_fields: u32,
    /// Whether extended CONNECT is offered (RFC 8441).
    pub extended_connect: bool,
}

/// The time in milliseconds since a moment of the caller's.
pub type Millis = u64;
