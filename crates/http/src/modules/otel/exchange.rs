//! An exchange with a collector: a connection, a request with spans, and what the answer means for
//! them.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use weir_engine::event_loop::on_a_thread;
use weir_engine::os_error::OsError;
use weir_engine::{Addr, Conn, ConnectOptions, connect, timer, tls};
use weir_wire::otlp::PartialSuccess;

use super::endpoint::{Place, Protocol};
use super::exporter::Exporter;

mod grpc;
mod http;

pub(super) use grpc::ALPN;

/// The time for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// The time for a request and its answer, the default of OpenTelemetry's exporters.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The limit of a response's head in bytes.
const MAX_HEAD: usize = 16 << 10;

/// The limit of a response's body in bytes: a message about some spans.
const MAX_BODY: usize = 64 << 10;

/// The size of a read.
const READ: usize = 16 << 10;

/// The most addresses that are tried.
const MOST_ADDRESSES: usize = 4;

/// The longest text of a collector that a log has, in characters.
const LONGEST_TEXT: usize = 200;

/// What the exporter calls itself.
const USER_AGENT: &str = concat!("OTel-OTLP-Exporter-Weir/", env!("CARGO_PKG_VERSION"));

/// The end of an exchange without success.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: String,
    /// Whether the same spans may be sent again.
    pub(super) may_retry: bool,
    /// What the collector asks to wait before.
    pub(super) wait: Option<Duration>,
}

impl Failure {
    /// The exporter ends, and the collector has not answered.
    pub(super) fn out_of_time() -> Self {
        Self::passing("there is no time left")
    }

    /// A failure that may pass.
    fn passing(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), may_retry: true, wait: None }
    }

    fn of_send(error: &io::Error) -> Self {
        Self::passing(format!("send() failed ({})", OsError(error)))
    }

    fn of_recv(error: &io::Error) -> Self {
        Self::passing(format!("recv() failed ({})", OsError(error)))
    }

    fn closed() -> Self {
        Self::passing("the connection was closed")
    }
}

/// A connection to a collector.
pub(super) enum Line {
    Http(http::Line),
    Grpc(Box<grpc::Line>),
}

/// What a collector has said about spans.
struct Answer {
    judgement: Result<PartialSuccess, Failure>,
    /// The connection, if it can serve another request.
    line: Option<Line>,
}

/// An exchange without an answer.
enum Broken {
    /// The connection, or the collector itself.
    By(Failure),
    /// The time.
    Late,
}

/// Sends spans, on a kept connection or a new one. Returns what the collector says about spans that
/// it has refused, if it has.
pub(super) async fn send(
    exporter: &Exporter,
    kept: &mut Option<Line>,
    spans: &[u8],
) -> Result<PartialSuccess, Failure> {
    let message = exporter.envelope.request(spans);
    // It may have been closed just now, which says nothing about the collector.
    if let Some(mut line) = kept.take()
        && line.is_alive()
    {
        match line.exchange(exporter, &message).await {
            Ok(answer) => return answer.keep(kept),
            Err(Broken::Late) => return Err(late()),
            Err(Broken::By(_)) => {}
        }
    }
    let line = open(exporter).await?;
    match line.exchange(exporter, &message).await {
        Ok(answer) => answer.keep(kept),
        Err(Broken::By(failure)) => Err(failure),
        Err(Broken::Late) => Err(late()),
    }
}

fn late() -> Failure {
    Failure::passing("the answer is late")
}

impl Answer {
    fn keep(self, kept: &mut Option<Line>) -> Result<PartialSuccess, Failure> {
        *kept = self.line;
        self.judgement
    }
}

impl Line {
    fn is_alive(&mut self) -> bool {
        match self {
            Self::Http(line) => line.is_alive(),
            Self::Grpc(line) => line.is_alive(),
        }
    }

    /// Sends a request and receives the answer, within the time for both.
    async fn exchange(self, exporter: &Exporter, message: &[u8]) -> Result<Answer, Broken> {
        let whole = async {
            match self {
                Self::Http(line) => line.exchange(exporter, message).await,
                Self::Grpc(line) => line.exchange(exporter, message).await,
            }
        };
        match timer::timeout(TIMEOUT, whole).await {
            Ok(answered) => answered.map_err(Broken::By),
            Err(_) => Err(Broken::Late),
        }
    }

    /// Does what a connection needs between requests, until it is of no more use.
    pub(super) async fn attend(&mut self) {
        match self {
            Self::Http(_) => std::future::pending().await,
            Self::Grpc(line) => line.attend().await,
        }
    }
}

/// A text of a collector, for the log.
fn said(text: &[u8]) -> String {
    let text = weir_wire::shown(text);
    let text: String = text.chars().filter(|c| !c.is_control()).take(LONGEST_TEXT).collect();
    if text.is_empty() { text } else { format!(": {text}") }
}

async fn open(exporter: &Exporter) -> Result<Line, Failure> {
    let mut failed = Failure::passing("host not found");
    for address in addresses(exporter).await?.into_iter().take(MOST_ADDRESSES) {
        match connect(&address, &ConnectOptions::default(), CONNECT).await {
            Ok(conn) => return secure(conn, exporter).await,
            Err(error) => {
                let error = OsError(&error.into()).to_string();
                failed = Failure::passing(format!("connect() to {address} failed ({error})"));
            }
        }
    }
    Err(failed)
}

async fn addresses(exporter: &Exporter) -> Result<Vec<Addr>, Failure> {
    let (host, port) = match &exporter.endpoint.place {
        Place::Unix(address) => return Ok(vec![address.clone()]),
        Place::Host(host, port) => (Arc::clone(host), *port),
    };
    let found = on_a_thread(move || (&*host, port).to_socket_addrs().map(Vec::from_iter));
    let found: io::Result<Vec<SocketAddr>> = match timer::timeout(TIMEOUT, found).await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) => Err(io::ErrorKind::Other.into()),
        Err(late) => Err(late),
    };
    let found = found.map_err(|_| Failure::passing("host not found"))?;
    Ok(found.into_iter().map(Addr::Inet).collect())
}

async fn secure(conn: Conn, exporter: &Exporter) -> Result<Line, Failure> {
    let conn = match &exporter.tls {
        None => conn,
        Some(tls) => tls::connect(conn, tls, exporter.endpoint.name(), CONNECT)
            .await
            .map_err(|error| Failure::passing(format!("the TLS handshake failed: {error}")))?,
    };
    Ok(match exporter.endpoint.protocol {
        Protocol::Http { .. } => Line::Http(http::Line::new(conn)),
        Protocol::Grpc => Line::Grpc(Box::new(grpc::Line::new(conn)?)),
    })
}
