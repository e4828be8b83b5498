//! Reading the head of a request, and choosing the server that its host names.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use weir_engine::buffer;
use weir_engine::error_log::Level;
use weir_engine::os_error::Failed;
use weir_engine::timer::Deadline;
use weir_wire::h1::{Limits, RequestError, RequestFault, RequestParser};

use crate::client::h1::Link;
use crate::request::{ConnectionInfo, Request};
use crate::route::{Endpoint, Matched, Server, ServerAt};
use crate::snapshot::Held;
use crate::tls;

/// What came of reading.
pub(super) enum Head {
    /// A head of this many bytes.
    Complete(usize),
    /// Something that cannot be served.
    Faulty(Box<Fault>),
}

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
}

/// The result, with the server that the request is for.
pub(super) struct Outcome<'a> {
    /// The server of the host, or the listener's default.
    pub server: Held<Server>,
    /// What a regular expression among the server names captured.
    pub captures: Option<Matched<'a>>,
    /// The head.
    pub result: Head,
}

/// How much one read takes at most; a usual head fits.
pub(super) const READ: usize = 8 * 1024;

/// Reads until there is a head, for which some bytes have come already. It must be whole when the
/// deadline comes.
pub(super) async fn head<'a>(
    link: &mut Link,
    parser: &mut RequestParser,
    endpoint: &'a Held<Endpoint>,
    info: &ConnectionInfo,
    deadline: &mut Deadline,
) -> Outcome<'a> {
    let (mut server, mut captures) = start(endpoint, info);
    let mut misdirected = false;
    let limits = limits(&server);
    let result = loop {
        let step = parser.advance_with(&link.input, &limits, |host| {
            let (chosen, found) = choose(endpoint, info, host)?;
            if info.negotiated.is_some()
                && tls::verify::is_closed_to_others(endpoint.server(chosen))
            {
                misdirected = true;
                return None;
            }
            captures = found;
            server = Held::map(endpoint, |endpoint| endpoint.server(chosen));
            Some(self::limits(&server))
        });
        match step {
            Ok(Some(_)) if misdirected => break Head::Faulty(Fault::misdirected()),
            Ok(Some(length)) => {
                // A request that names no host goes to the server with the empty name.
                if parser.head().host.is_empty()
                    && let Some((chosen, found)) = choose(endpoint, info, b"")
                {
                    if info.negotiated.is_some()
                        && tls::verify::is_closed_to_others(endpoint.server(chosen))
                    {
                        break Head::Faulty(Fault::misdirected());
                    }
                    captures = found;
                    server = Held::map(endpoint, |endpoint| endpoint.server(chosen));
                }
                break Head::Complete(length);
            }
            Ok(None) => {}
            Err(error) => break Head::Faulty(faulty(&error, parser, &link.input)),
        }
        match poll_fn(|cx| poll_more(cx, link, deadline)).await {
            Ok(1..) => {}
            Ok(0) => {
                break Head::Faulty(Fault::gone(parser, "client prematurely closed connection"));
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                break Head::Faulty(Fault::timed_out(parser));
            }
            Err(error) => {
                break Head::Faulty(Fault::gone(
                    parser,
                    &Failed("recv() failed", &error).to_string(),
                ));
            }
        }
    };
    Outcome { server, captures, result }
}

/// The server for a connection before its host is known: the one that the handshake was for.
pub(super) fn start<'a>(
    endpoint: &'a Held<Endpoint>,
    info: &ConnectionInfo,
) -> (Held<Server>, Option<Matched<'a>>) {
    match info.negotiated.as_ref().and_then(|name| endpoint.find(name)) {
        Some((at, captures)) => (Held::map(endpoint, |endpoint| endpoint.server(at)), captures),
        None => (Held::map(endpoint, |endpoint| &*endpoint.default), None),
    }
}

/// The server for a host (ngx_http_set_virtual_server); `None` keeps the one there is.
fn choose<'a>(
    endpoint: &'a Endpoint,
    info: &ConnectionInfo,
    host: &[u8],
) -> Option<(ServerAt, Option<Matched<'a>>)> {
    match &info.negotiated {
        None => endpoint.find(host),
        Some(name) if **name == *host => None,
        // Whoever has a name for the handshake leaves its server by any other name.
        Some(_) => Some(endpoint.find(host).unwrap_or((endpoint.default_at(), None))),
    }
}

fn poll_more(
    cx: &mut std::task::Context<'_>,
    link: &mut Link,
    deadline: &mut Deadline,
) -> Poll<io::Result<usize>> {
    if link.input.capacity() == 0 {
        link.input = buffer::take(READ);
    }
    match link.conn.poll_recv(cx, &mut link.input, READ) {
        Poll::Pending => deadline.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
        done => done,
    }
}

impl Fault {
    fn misdirected() -> Box<Self> {
        let message = "client attempted to request the server name different from the one that \
                       was negotiated while reading client request headers"
            .to_owned();
        let (lingers, silent, timed_out, whole_line) = (false, false, false, true);
        Box::new(Self { status: 421, message, lingers, silent, timed_out, whole_line })
    }

    fn gone(parser: &RequestParser, what: &str) -> Box<Self> {
        let message = format!("{what} while {}", reading(parser));
        let (lingers, silent, timed_out, whole_line) = (false, true, false, false);
        Box::new(Self { status: 400, message, lingers, silent, timed_out, whole_line })
    }

    fn timed_out(parser: &RequestParser) -> Box<Self> {
        let message =
            format!("client timed out (110: Connection timed out) while {}", reading(parser));
        let (lingers, silent, timed_out, whole_line) = (false, true, true, false);
        Box::new(Self { status: 408, message, lingers, silent, timed_out, whole_line })
    }
}

/// What is done where a head begins, and where it came with the request before it.
const LINE: &str = "reading client request line";
const PIPELINED_LINE: &str = "reading client pipelined request line";

fn reading(parser: &RequestParser) -> &'static str {
    match parser.is_in_line() {
        true => LINE,
        false => "reading client request headers",
    }
}

fn faulty(error: &RequestError, parser: &RequestParser, input: &[u8]) -> Box<Fault> {
    Box::new(Fault {
        status: error.status(),
        message: format!("{} while {}", error.message(input), reading(parser)),
        lingers: error.lingers(),
        silent: false,
        timed_out: false,
        whole_line: !matches!(
            error.fault,
            RequestFault::Header { .. } | RequestFault::LongHeader | RequestFault::LargeRequest
        ),
    })
}

/// The rules of a server for heads.
fn limits(server: &Server) -> Limits {
    let limits = server.location.usual.limits.head_limits();
    Limits { allow_connect: server.allow_connect, ..limits }
}
