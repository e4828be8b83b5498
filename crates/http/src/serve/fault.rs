//! Faults of request heads.

use weir_engine::error_log::Level;
use weir_wire::request::{RequestError, RequestFault, Version};

use crate::request::Request;

/// A fault of a request head.
pub(super) struct HeadFault {
    /// The status of the response, or the one in the log if there is no response.
    pub status: u16,
    /// The message for the log.
    pub message: String,
    /// Whether the client is probably still sending.
    pub lingers: bool,
    /// Whether there is no response, because the client is gone or too slow.
    pub silent: bool,
    /// Whether the client was too slow.
    pub timed_out: bool,
    /// Whether the last header line is complete.
    pub whole_line: bool,
    /// Whether the first line is not one of HTTP.
    pub foreign: bool,
}

impl HeadFault {
    /// Logs the fault in nginx's words.
    pub(super) fn log(&self, request: &Request) {
        match request.pipelined {
            true => request.log(Level::Info, &self.message.replace(LINE, PIPELINED_LINE)),
            false => request.log(Level::Info, &self.message),
        }
    }

    /// A head in `buf` that breaks a rule.
    pub(super) fn of(error: &RequestError, buf: &[u8], doing: &str) -> Box<Self> {
        Box::new(Self {
            status: error.status(),
            message: format!("{} while {doing}", error.message(buf)),
            lingers: error.lingers(),
            silent: false,
            timed_out: false,
            whole_line: !matches!(
                error.fault,
                RequestFault::Header { .. } | RequestFault::LongHeader | RequestFault::LargeRequest
            ),
            foreign: error.fault == RequestFault::Line && !names_http(buf),
        })
    }

    /// A target that is not a path.
    pub(super) fn of_target(version: Version) -> Self {
        let doing = if version < Version::HTTP_2 { LINE } else { FIELDS };
        let message = format!("client sent invalid request while {doing}");
        let (lingers, silent, timed_out, whole_line) = (false, false, false, true);
        Self { status: 400, message, lingers, silent, timed_out, whole_line, foreign: false }
    }

    /// A host whose server only serves connections whose handshake was for it (421).
    pub(super) fn misdirected() -> Box<Self> {
        let message = "client attempted to request the server name different from the one that \
                       was negotiated while reading client request headers"
            .to_owned();
        let (lingers, silent, timed_out, whole_line) = (false, false, false, true);
        Box::new(Self {
            status: 421,
            message,
            lingers,
            silent,
            timed_out,
            whole_line,
            foreign: false,
        })
    }

    /// A host whose server does not speak HTTP/2, on a connection that does (421).
    pub(super) fn without_http2() -> Box<Self> {
        let message = "client attempted to request the server name for which the negotiated \
                       protocol is disabled while reading client request headers"
            .to_owned();
        Box::new(Self { message, ..*Self::misdirected() })
    }

    /// A protocol in an extended CONNECT that no location can have (501, RFC 9220 section 3).
    pub(super) fn unknown_protocol(name: &[u8]) -> Box<Self> {
        let message = format!(
            "client sent unknown :protocol header: \"{}\" while reading client request headers",
            weir_wire::shown(name)
        );
        Box::new(Self { status: 501, message, ..*Self::misdirected() })
    }

    /// A client that is gone.
    pub(super) fn gone(doing: &str, what: &str) -> Box<Self> {
        let message = format!("{what} while {doing}");
        let (lingers, silent, timed_out, whole_line) = (false, true, false, false);
        Box::new(Self {
            status: 400,
            message,
            lingers,
            silent,
            timed_out,
            whole_line,
            foreign: false,
        })
    }

    /// A head that was not complete in time.
    pub(super) fn timed_out(doing: &str) -> Box<Self> {
        let message = format!("client timed out (110: Connection timed out) while {doing}");
        let (lingers, silent, timed_out, whole_line) = (false, true, true, false);
        Box::new(Self {
            status: 408,
            message,
            lingers,
            silent,
            timed_out,
            whole_line,
            foreign: false,
        })
    }
}

/// Whether the first line names a version of HTTP.
fn names_http(buf: &[u8]) -> bool {
    let line = buf.split(|&byte| byte == b'\n').next().unwrap_or_default();
    line.windows(b" HTTP/".len()).any(|word| word == b" HTTP/")
}

/// The action at the start of a head, and at the start of a pipelined one.
pub(super) const LINE: &str = "reading client request line";
const PIPELINED_LINE: &str = "reading client pipelined request line";

/// The action behind the request line; in HTTP/2, from the start.
pub(super) const FIELDS: &str = "reading client request headers";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_name_http() {
        for line in ["PRI * HTTP/2.0\r\nx", "x HTTP/1.1 y"] {
            assert!(names_http(line.as_bytes()), "{line}");
        }
        for line in ["", "INVALID CONNECTION PREFACE\r\n\r\n", "GET x\r\nGET / HTTP/1.1"] {
            assert!(!names_http(line.as_bytes()), "{line}");
        }
    }
}
