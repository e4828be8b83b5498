//! OTLP over HTTP: a request of HTTP/1.1 and its answer.

use std::future::poll_fn;
use std::time::Duration;

use weir_engine::Conn;
use weir_wire::h1::{Chunked, Framing, ResponseParser};
use weir_wire::header::Known;
use weir_wire::otlp::{self, PartialSuccess};

use super::super::endpoint::Protocol;
use super::super::exporter::Exporter;
use super::{Failure, MAX_BODY, MAX_HEAD, READ, TIMEOUT, USER_AGENT, said};

/// The statuses after which a request may be repeated (OTLP, "Retryable Response Codes").
const RETRIED: [u16; 4] = [429, 502, 503, 504];

/// A connection.
pub(in super::super) struct Line {
    conn: Conn,
    raw: Vec<u8>,
}

/// What a collector has answered.
struct Response {
    status: u16,
    wait: Option<Duration>,
    closes: bool,
    body: Vec<u8>,
}

fn head(exporter: &Exporter, length: usize) -> String {
    let authority = &exporter.endpoint.authority;
    let path = match &exporter.endpoint.protocol {
        Protocol::Http { path } => path,
        Protocol::Grpc => "/",
    };
    let mut head = format!(
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\n\
         Content-Type: application/x-protobuf\r\nContent-Length: {length}\r\n",
    );
    for (name, value) in exporter.fields(USER_AGENT) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head
}

/// What an answer means.
fn judge(answer: &Response) -> Result<PartialSuccess, Failure> {
    let Response { status, wait, body, .. } = answer;
    if (200..300).contains(status) {
        // A body in another form says nothing about refused spans.
        return Ok(otlp::response(body).unwrap_or_default());
    }
    Err(Failure {
        reason: format!("the status is {status}{}", said(&otlp::refusal(body))),
        may_retry: RETRIED.contains(status),
        wait: *wait,
    })
}

impl Line {
    pub(super) fn new(conn: Conn) -> Self {
        Self { conn, raw: Vec::new() }
    }

    pub(super) fn is_alive(&mut self) -> bool {
        self.conn.is_idle_alive()
    }

    /// Sends a request and receives the answer.
    pub(super) async fn exchange(
        mut self,
        exporter: &Exporter,
        body: &[u8],
    ) -> Result<super::Answer, Failure> {
        let head = head(exporter, body.len());
        let sent = self.conn.send_all(&[head.as_bytes(), body], TIMEOUT).await;
        // A collector that refuses before it has read everything still answers.
        let answer = match self.receive().await {
            Err(failure) => match sent {
                Err(error) => return Err(Failure::of_send(&error)),
                Ok(()) => return Err(failure),
            },
            Ok(answer) => answer,
        };
        let line = (!answer.closes).then_some(super::Line::Http(self));
        Ok(super::Answer { judgement: judge(&answer), line })
    }

    /// Receives an answer.
    async fn receive(&mut self) -> Result<Response, Failure> {
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
            Response { status: found.status, wait, closes: found.close, body: Vec::new() };
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
            0 => Err(Failure::closed()),
            _ => Ok(()),
        }
    }

    async fn read(&mut self) -> Result<usize, Failure> {
        let Self { conn, raw } = self;
        let received = poll_fn(|cx| conn.poll_recv(cx, raw, READ)).await;
        received.map_err(|error| Failure::of_recv(&error))
    }
}

/// The time in `Retry-After`. Dates are rare, and waiting as usual does no harm.
fn retry_after(value: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}
