//! Reading the head of a request, and choosing the server that its host names.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use weir_engine::buffer::{self, Buf};
use weir_engine::error_log::Level;
use weir_engine::stats::{Gauge, Gauged};
use weir_wire::h1::{Limits, RequestError, RequestParser};

use crate::client::Link;
use crate::core::{CONNECTION, LIMITS};
use crate::request::Request;
use crate::route::{Endpoint, Matched, Server};
use crate::serve::Service;

/// The connection ended, or was silent for too long, before a request began.
pub(super) struct Gone;

/// What came of reading.
pub(super) enum Head {
    /// A head of this many bytes.
    Complete(usize),
    /// Something that cannot be served.
    Faulty(Fault),
}

/// Why a head cannot be served.
pub(super) struct Fault {
    /// What to answer; 408 and 400 without a head may end in silence.
    pub status: u16,
    /// What to tell the log.
    pub message: String,
    /// Whether the client is likely still sending.
    pub lingers: bool,
}

impl Fault {
    /// Writes the line that nginx writes.
    pub(super) fn log(&self, request: &Request) {
        request.log(Level::Info, &self.message);
    }
}

/// The result, with the server that the request is for.
pub(super) struct Outcome<'a> {
    /// The server of the host, or the listener's default.
    pub server: Rc<Server>,
    /// What a regular expression among the server names captured.
    pub captures: Option<Matched<'a>>,
    /// The head.
    pub result: Result<Head, Gone>,
}

/// How much one read takes at most; a usual head fits.
const READ: usize = 8 * 1024;

/// Reads until there is a head. A kept connection first waits `keepalive_timeout` for its first
/// byte; then, as on a new one, the head must be whole within `client_header_timeout`.
pub(super) async fn head<'a>(
    service: &Service,
    link: &mut Link,
    parser: &mut RequestParser,
    endpoint: &'a Endpoint,
    gauge: &mut Gauged,
    kept: bool,
) -> Outcome<'a> {
    let mut server = Rc::clone(&endpoint.default);
    let mut captures = None;
    let limits = limits(&server);
    if kept && link.input.is_empty() {
        link.conn.restart_wait(server.settings.get(&CONNECTION).keepalive_timeout.idle);
    } else {
        link.conn.restart_wait(server.settings.get(&LIMITS).client_header_timeout.0);
    }
    let mut place = service.idle.place();
    let result = loop {
        if !link.input.is_empty() {
            if kept && !parser.has_begun() {
                gauge.set(Gauge::Reading);
                link.conn.restart_wait(server.settings.get(&LIMITS).client_header_timeout.0);
            }
            let step = parser.advance_with(&link.input, &limits, |host| {
                let (chosen, found) = endpoint.find(host)?;
                captures = found;
                server = Rc::clone(chosen);
                Some(self::limits(&server))
            });
            match step {
                Ok(Some(length)) => break Ok(Head::Complete(length)),
                Ok(None) => {}
                Err(error) => break Ok(Head::Faulty(faulty(&error, &link.input))),
            }
        }
        let waiting = !parser.has_begun();
        if link.input.capacity() == 0 {
            link.input = buffer::take(READ);
        }
        let received = poll_fn(|cx| match link.conn.poll_recv(cx, &mut link.input, READ) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => {
                if waiting {
                    if link.input.is_empty() {
                        link.input = Buf::default();
                    }
                    place.wait(cx);
                    if service.is_quitting() {
                        return Poll::Ready(None);
                    }
                }
                link.conn.poll_wait(cx).map(|()| Some(Err(std::io::ErrorKind::TimedOut.into())))
            }
        })
        .await;
        match received {
            None => break Err(Gone),
            Some(Ok(1..)) => {}
            Some(result) if waiting => {
                drop(result);
                break Err(Gone);
            }
            Some(Ok(0)) => {
                break Ok(Head::Faulty(cut_short(
                    400,
                    "client prematurely closed connection while reading client request line",
                )));
            }
            Some(Err(error)) if error.kind() == std::io::ErrorKind::TimedOut => {
                break Ok(Head::Faulty(cut_short(
                    408,
                    "client timed out (110: Connection timed out) while reading client request headers",
                )));
            }
            Some(Err(_)) => {
                break Ok(Head::Faulty(cut_short(
                    400,
                    "client closed connection while reading client request line",
                )));
            }
        }
    };
    link.conn.end_wait();
    Outcome { server, captures, result }
}

fn cut_short(status: u16, message: &str) -> Fault {
    Fault { status, message: message.into(), lingers: false }
}

fn faulty(error: &RequestError, input: &[u8]) -> Fault {
    Fault {
        status: error.status(),
        message: format!("{} while reading client request headers", error.message(input)),
        lingers: error.lingers(),
    }
}

/// The rules of a server for heads.
fn limits(server: &Server) -> Limits {
    server.settings.get(&LIMITS).head_limits()
}
