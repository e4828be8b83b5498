//! The protocols that a connection can be opened with.

use weir_engine::tls::Alpn;

use crate::request::ConnectionInfo;
use crate::route::Endpoint;

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1 and before.
    H1,
}

impl Protocol {
    /// What a client speaks that has been let in: what the handshake has agreed on, if it has.
    pub(super) fn of(_info: &ConnectionInfo) -> Self {
        Self::H1
    }
}

/// What an endpoint's connections are offered with ALPN, the preferred first.
pub(super) fn alpn(_endpoint: &Endpoint) -> Alpn {
    HTTP_1
}

const HTTP_1: Alpn = &[b"http/1.1", b"http/1.0", b"http/0.9"];
