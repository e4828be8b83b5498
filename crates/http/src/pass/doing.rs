//! What an attempt at an upstream is doing, in nginx's words for the error log.

use std::fmt;
use std::io::ErrorKind;

use crate::errors::Cause;

/// A stage of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// Opening a connection.
    Connecting,
    /// Securing it.
    Handshaking,
    /// Sending the request.
    Sending,
    /// Reading the head of the response.
    ReadingHead,
    /// Reading the body.
    Reading,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting to upstream",
            Self::Handshaking => "SSL handshaking to upstream",
            Self::Sending => "sending request to upstream",
            Self::ReadingHead => "reading response header from upstream",
            Self::Reading => "reading upstream",
        })
    }
}

impl Doing {
    /// The cause of an error of the connection in this stage.
    pub(crate) fn cause(self, kind: ErrorKind) -> Cause {
        match (self, kind) {
            (Self::Connecting, ErrorKind::TimedOut) => Cause::UpstreamConnectTimeout,
            (Self::Connecting, ErrorKind::ConnectionRefused) => Cause::UpstreamRefused,
            (Self::Connecting, _) => Cause::UpstreamUnreachable,
            (Self::Handshaking, _) => Cause::UpstreamTls,
            (Self::Sending, ErrorKind::TimedOut) => Cause::UpstreamSendTimeout,
            (Self::ReadingHead | Self::Reading, ErrorKind::TimedOut) => Cause::UpstreamReadTimeout,
            (Self::Sending | Self::ReadingHead | Self::Reading, _) => Cause::UpstreamClosed,
        }
    }
}
