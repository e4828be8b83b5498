//! Error codes (RFC 9113 section 7) and the faults of a peer that end a connection.

/// An error code of RST_STREAM and GOAWAY. Unknown codes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// A graceful end.
    pub const NO_ERROR: Self = Self(0);
    /// An unspecific fault of the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1);
    /// A fault of one's own.
    pub const INTERNAL_ERROR: Self = Self(2);
    /// More data than the window allowed.
    pub const FLOW_CONTROL_ERROR: Self = Self(3);
    /// Settings were not acknowledged in time.
    pub const SETTINGS_TIMEOUT: Self = Self(4);
    /// A frame for a half-closed stream.
    pub const STREAM_CLOSED: Self = Self(5);
    /// A frame of a wrong size.
    pub const FRAME_SIZE_ERROR: Self = Self(6);
    /// The stream was not processed, so that its request can be repeated.
    pub const REFUSED_STREAM: Self = Self(7);
    /// The stream is no longer needed.
    pub const CANCEL: Self = Self(8);
    /// The state of header compression is lost.
    pub const COMPRESSION_ERROR: Self = Self(9);
    /// The connection of a CONNECT was reset.
    pub const CONNECT_ERROR: Self = Self(10);
    /// The peer causes too much load.
    pub const ENHANCE_YOUR_CALM: Self = Self(11);
    /// TLS does not meet the requirements.
    pub const INADEQUATE_SECURITY: Self = Self(12);
    /// HTTP/1.1 is required.
    pub const HTTP_1_1_REQUIRED: Self = Self(13);
}

/// A fault of the peer that ends a stream: what it did, before the word "stream" and the number, as
/// nginx words it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault(pub &'static str);

/// A fault of the peer that ends the connection. A GOAWAY with the code is already queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionError {
    /// The code sent to the peer.
    pub code: ErrorCode,
    /// The reason, for the log.
    pub reason: &'static str,
}
