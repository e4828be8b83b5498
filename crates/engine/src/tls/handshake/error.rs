//! Failed handshakes, in nginx's words.

use std::fmt;
use std::io;

use rustls::Error;

use crate::error_log::Level;
use crate::os_error::OsError;
use crate::tls::verify::Fault;
use crate::tls::wording;

/// The cause of a failed handshake.
#[derive(Debug)]
pub enum HandshakeError {
    /// The peer or the network closed the connection.
    Io(io::Error),
    /// The handshake timed out.
    TimedOut,
    /// A negotiation failure or a protocol violation.
    Tls(Error),
    /// The server rejects handshakes for this name.
    Rejected,
    /// The upstream's certificate failed verification.
    Certificate(Fault),
    /// The upstream's certificate does not cover this name.
    Name(String),
}

impl HandshakeError {
    /// nginx's log level for the error; most are the peer's fault.
    pub fn level(&self) -> Level {
        match self {
            Self::Certificate(_) | Self::Name(_) => Level::Error,
            _ => Level::Info,
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("peer closed connection in SSL handshake")
            }
            Self::Io(error) => {
                write!(f, "peer closed connection in SSL handshake ({})", OsError(error))
            }
            Self::TimedOut => f.write_str("SSL handshake timed out (110: Connection timed out)"),
            Self::Tls(error) => {
                write!(f, "SSL_do_handshake() failed (SSL: {})", wording::of(error))
            }
            Self::Rejected => f.write_str("handshake rejected"),
            Self::Certificate(fault) => {
                write!(f, "upstream SSL certificate verify error: ({fault})")
            }
            Self::Name(name) => {
                write!(f, "upstream SSL certificate does not match \"{name}\"")
            }
        }
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Io(error),
        }
    }
}
