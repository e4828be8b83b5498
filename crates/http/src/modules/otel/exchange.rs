//! A request of OTLP/HTTP to a collector, and its answer.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use weir_engine::event_loop::on_a_thread;
use weir_engine::os_error::OsError;
use weir_engine::{Addr, Conn, ConnectOptions, connect, timer, tls};
use weir_wire::h1::{Chunked, Framing, ResponseParser};
use weir_wire::header::Known;
use weir_wire::otlp;

use super::exporter::Exporter;

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

/// The statuses after which a request may be repeated (OTLP, "Retryable Response Codes").
const RETRIED: [u16; 4] = [429, 502, 503, 504];

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
}

/// A connection to a collector.
pub(super) struct Line {
    conn: Conn,
    raw: Vec<u8>,
}

/// What a collector has answered.
struct Answer {
    status: u16,
    wait: Option<Duration>,
    closes: bool,
    body: Vec<u8>,
}

/// Sends spans, on a kept connection or a new one. Returns what the collector says about spans that
/// it has refused, if it has.
pub(super) async fn send(
    exporter: &Exporter,
    kept: &mut Option<Line>,
    spans: &[u8],
) -> Result<otlp::PartialSuccess, Failure> {
    let body = exporter.envelope.request(spans);
    let head = head(exporter, body.len());
    // A kept connection may have been closed just now, which says nothing about the collector.
    if let Some(mut line) = kept.take()
        && line.conn.is_idle_alive()
        && let Ok(answer) = exchange(line, &head, &body, kept).await
    {
        return judge(&answer);
    }
    let line = open(exporter).await?;
    judge(&exchange(line, &head, &body, kept).await?)
}

fn head(exporter: &Exporter, length: usize) -> String {
    let super::exporter::Endpoint { authority, path, .. } = &exporter.endpoint;
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut head = format!(
        "POST {slash}{path} HTTP/1.1\r\nHost: {authority}\r\n\
         User-Agent: OTel-OTLP-Exporter-Weir/{}\r\n\
         Content-Type: application/x-protobuf\r\nContent-Length: {length}\r\n",
        env!("CARGO_PKG_VERSION")
    );
    for (name, value) in &exporter.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head
}

/// What an answer means.
fn judge(answer: &Answer) -> Result<otlp::PartialSuccess, Failure> {
    let Answer { status, wait, body, .. } = answer;
    if (200..300).contains(status) {
        // A body in another form says nothing about refused spans.
        return Ok(otlp::response(body).unwrap_or_default());
    }
    let said = otlp::refusal(body);
    let said = weir_wire::shown(&said);
    let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
    let colon = if said.is_empty() { "" } else { ": " };
    Err(Failure {
        reason: format!("the status is {status}{colon}{said}"),
        may_retry: RETRIED.contains(status),
        wait: *wait,
    })
}

async fn open(exporter: &Exporter) -> Result<Line, Failure> {
    let endpoint = &exporter.endpoint;
    let (host, port) = (endpoint.host.clone(), endpoint.port);
    let found = on_a_thread(move || (host.as_str(), port).to_socket_addrs().map(Vec::from_iter));
    let found: io::Result<Vec<SocketAddr>> = match timer::timeout(TIMEOUT, found).await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) => Err(io::ErrorKind::Other.into()),
        Err(late) => Err(late),
    };
    let addresses = found.map_err(|_| Failure::passing("host not found"))?;
    let mut failed = Failure::passing("host not found");
    for address in addresses.into_iter().take(MOST_ADDRESSES) {
        let address = Addr::Inet(address);
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

async fn secure(conn: Conn, exporter: &Exporter) -> Result<Line, Failure> {
    let conn = match &exporter.tls {
        None => conn,
        Some(tls) => tls::connect(conn, tls, &exporter.endpoint.host, CONNECT)
            .await
            .map_err(|error| Failure::passing(format!("the TLS handshake failed: {error}")))?,
    };
    Ok(Line { conn, raw: Vec::new() })
}

/// Sends a request and receives the answer, within the time for both. Leaves a connection that can
/// serve another request in `kept`.
async fn exchange(
    mut line: Line,
    head: &str,
    body: &[u8],
    kept: &mut Option<Line>,
) -> Result<Answer, Failure> {
    let whole = async {
        let sent = line.conn.send_all(&[head.as_bytes(), body], TIMEOUT).await;
        // A collector that refuses before it has read everything still answers.
        match line.receive().await {
            Err(failure) => Err(match sent {
                Err(error) => Failure::passing(format!("send() failed ({})", OsError(&error))),
                Ok(()) => failure,
            }),
            answered => answered,
        }
    };
    let answer = match timer::timeout(TIMEOUT, whole).await {
        Ok(answered) => answered?,
        Err(_) => return Err(Failure::passing("the answer is late")),
    };
    if !answer.closes {
        *kept = Some(line);
    }
    Ok(answer)
}

impl Line {
    /// Receives an answer.
    async fn receive(&mut self) -> Result<Answer, Failure> {
        let no_http = || Failure::passing("the answer is not HTTP");
        let mut parser = ResponseParser::new();
        let head = loop {
            match parser.advance(&self.raw, MAX_HEAD).map_err(|_| no_http())? {
                Some(length) if parser.head().is_interim() => {
                    self.raw.drain(..length);
                    parser = ResponseParser::new();
                }
                Some(length) => break length,
                None => self.more().await?,
            }
        };
        let found = parser.head();
        let wait = found.get(&self.raw, Known::RetryAfter).and_then(retry_after);
        let mut answer =
            Answer { status: found.status, wait, closes: found.close, body: Vec::new() };
        let framing = found.framing(false);
        self.raw.drain(..head);
        match framing {
            Framing::None => {}
            Framing::Length(length) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                while self.raw.len() < length.min(MAX_BODY) {
                    self.more().await?;
                }
                answer.closes |= length > MAX_BODY || self.raw.len() > length;
                answer.body = self.raw.drain(..length.min(self.raw.len())).collect();
            }
            Framing::Chunked => {
                let mut chunked = Chunked::new();
                loop {
                    let joined = chunked.join(&mut self.raw).map_err(|_| no_http())?;
                    answer.body.extend_from_slice(&self.raw[joined.data]);
                    self.raw.drain(..joined.used);
                    if joined.ended {
                        break;
                    }
                    if answer.body.len() > MAX_BODY {
                        answer.closes = true;
                        break;
                    }
                    self.more().await?;
                }
            }
            Framing::UntilClose => {
                answer.closes = true;
                while self.raw.len() < MAX_BODY && self.read().await? > 0 {}
                answer.body.append(&mut self.raw);
            }
        }
        Ok(answer)
    }

    /// Receives some more of an answer that is not whole.
    async fn more(&mut self) -> Result<(), Failure> {
        match self.read().await? {
            0 => Err(Failure::passing("the connection was closed")),
            _ => Ok(()),
        }
    }

    async fn read(&mut self) -> Result<usize, Failure> {
        let Self { conn, raw } = self;
        let received = poll_fn(|cx| conn.poll_recv(cx, raw, READ)).await;
        received.map_err(|error| Failure::passing(format!("recv() failed ({})", OsError(&error))))
    }
}

/// The time in `Retry-After`. Dates are rare, and waiting as usual does no harm.
fn retry_after(value: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}
