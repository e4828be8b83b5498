//! Heads that cannot be served.

use weir_engine::error_log::Level;
use weir_wire::request::{RequestError, RequestFault};

use crate::request::Request;

/// Why a head cannot be served.
pub(super) struct Fault {
    /// What to answer, or what the log shows where there is no answer.
    pub status: u16,
    /// What to tell the log.
    pub message: String,
    /// Whether the client is likely still sending.
    pub lingers: bool,
    /// Whether there is nobody to answer: the client is gone, or took too long.
    pub silent: bool,
    /// Whether it took too long.
    pub timed_out: bool,
    /// Whether the header line where it ended is whole.
    pub whole_line: bool,
}

impl Fault {
    /// Writes the line that nginx writes.
    pub(super) fn log(&self, request: &Request) {
        match request.pipelined {
            true => request.log(Level::Info, &self.message.replace(LINE, PIPELINED_LINE)),
            false => request.log(Level::Info, &self.message),
        }
    }

    /// The head, which `buf` holds, breaks a rule.
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
        })
    }

    /// The handshake was for another server, and that one is for nobody else (421).
    pub(super) fn misdirected() -> Box<Self> {
        let message = "client attempted to request the server name different from the one that \
                       was negotiated while reading client request headers"
            .to_owned();
        let (lingers, silent, timed_out, whole_line) = (false, false, false, true);
        Box::new(Self { status: 421, message, lingers, silent, timed_out, whole_line })
    }

    /// There is nobody to answer.
    pub(super) fn gone(doing: &str, what: &str) -> Box<Self> {
        let message = format!("{what} while {doing}");
        let (lingers, silent, timed_out, whole_line) = (false, true, false, false);
        Box::new(Self { status: 400, message, lingers, silent, timed_out, whole_line })
    }

    /// The head was not whole in time.
    pub(super) fn timed_out(doing: &str) -> Box<Self> {
        let message = format!("client timed out (110: Connection timed out) while {doing}");
        let (lingers, silent, timed_out, whole_line) = (false, true, true, false);
        Box::new(Self { status: 408, message, lingers, silent, timed_out, whole_line })
    }
}

/// What is done where a head begins, and where it came with the request before it.
pub(super) const LINE: &str = "reading client request line";
const PIPELINED_LINE: &str = "reading client pipelined request line";
