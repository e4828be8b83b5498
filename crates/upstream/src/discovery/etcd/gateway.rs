//! HTTP to one endpoint of etcd, on connections of this loop: a few plain requests by POST, and one
//! whose response goes on for ever.

use std::{future::poll_fn, task::Poll, time::Duration};

use weir_engine::{Conn, ConnectOptions, connect, os_error::OsError, timer, tls};
use weir_wire::h1::{Chunked, Framing, ResponseParser};

use super::answer;
use crate::discovery::SourceError;
use crate::discovery::config::{Endpoint, Tls};

/// The time for a connection, and for a whole answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);

/// The limit of a response's head in bytes.
const MAX_HEAD: usize = 16 << 10;

/// The limit of an answer, and of a message of a watch, in bytes.
const MAX_ANSWER: usize = 16 << 20;

/// The size of a read.
const READ: usize = 64 << 10;

/// A connection.
#[derive(Debug)]
pub(super) struct Line {
    conn: Conn,
    /// Received bytes of the response.
    raw: Vec<u8>,
    host: String,
    token: Option<String>,
}

/// What a request asks.
pub(super) struct Query<'a> {
    pub(super) path: &'a str,
    /// JSON.
    pub(super) body: String,
}

impl Line {
    /// Connects to an endpoint.
    ///
    /// # Errors
    /// What has failed.
    pub(super) async fn open(endpoint: &Endpoint, tls: Option<&Tls>) -> Result<Self, SourceError> {
        let options = ConnectOptions::default();
        let conn = connect(&endpoint.address, &options, TIMEOUT)
            .await
            .map_err(|error| format!("connect() failed ({})", OsError(&error.into())))?;
        let conn =
            match tls.filter(|_| endpoint.is_tls) {
                None => conn,
                Some(Tls { client, .. }) => tls::connect(conn, client, &endpoint.host, TIMEOUT)
                    .await
                    .map_err(|error| format!("the TLS handshake failed: {error}"))?,
            };
        Ok(Self { conn, raw: Vec::new(), host: endpoint.authority.clone(), token: None })
    }

    /// The line, with the token of a login.
    pub(super) fn with_token(mut self, token: Option<&str>) -> Self {
        self.token = token.map(str::to_owned);
        self
    }

    /// Asks, and waits for the whole answer.
    ///
    /// # Errors
    /// What has failed; the line is of no use any more.
    pub(super) async fn ask(&mut self, query: Query<'_>) -> Result<Vec<u8>, SourceError> {
        let answered = async {
            let mut stream = Response::begin(self, query).await?;
            while stream.left != Left::Nothing {
                stream.more(self).await?;
            }
            stream.answer()
        };
        within(TIMEOUT, answered).await
    }

    /// Asks, and keeps the line for the messages of the answer.
    ///
    /// # Errors
    /// What has failed.
    pub(super) async fn watch(mut self, query: Query<'_>) -> Result<Stream, SourceError> {
        let response = within(TIMEOUT, Response::begin(&mut self, query)).await?;
        Ok(Stream { line: self, response, at: 0, seen: 0 })
    }
}

async fn within<T>(
    time: Duration,
    work: impl Future<Output = Result<T, SourceError>>,
) -> Result<T, SourceError> {
    tokio::select! {
        done = work => done,
        () = timer::sleep(time) => Err("the answer is late".into()),
    }
}

/// What is to come of a body.
#[derive(Debug)]
enum Left {
    Nothing,
    Length(u64),
    Chunks(Chunked),
    UntilClose,
}

impl PartialEq for Left {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// A response, being received.
#[derive(Debug)]
struct Response {
    status: u16,
    left: Left,
    /// The body so far.
    body: Vec<u8>,
}

impl Response {
    /// Sends a request and receives the head of the response.
    async fn begin(line: &mut Line, query: Query<'_>) -> Result<Self, SourceError> {
        let Query { path, body } = query;
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n",
            line.host,
            body.len()
        );
        if let Some(token) = &line.token {
            head.push_str(&format!("Authorization: {token}\r\n"));
        }
        head.push_str("\r\n");
        let sent = line.conn.send_all(&[head.as_bytes(), body.as_bytes()], TIMEOUT).await;
        sent.map_err(|error| format!("send() failed ({})", OsError(&error)))?;
        let mut parser = ResponseParser::new();
        loop {
            let parsed = parser.advance(&line.raw, MAX_HEAD);
            if let Some(length) = parsed.map_err(|_| "the answer is not HTTP".to_owned())? {
                line.raw.drain(..length);
                break;
            }
            line.receive().await?;
        }
        let left = match parser.head().framing(false) {
            Framing::None => Left::Nothing,
            Framing::Length(length) => Left::Length(length),
            Framing::Chunked => Left::Chunks(Chunked::new()),
            Framing::UntilClose => Left::UntilClose,
        };
        let mut response = Self { status: parser.head().status, left, body: Vec::new() };
        response.decode(&mut line.raw)?;
        Ok(response)
    }

    /// Receives some more of the body.
    async fn more(&mut self, line: &mut Line) -> Result<(), SourceError> {
        match line.receive().await {
            Err(Closed::AtEnd) if self.left == Left::UntilClose => {
                self.left = Left::Nothing;
                Ok(())
            }
            received => {
                received?;
                self.take(&mut line.raw)
            }
        }
    }

    /// Moves what was received to the body, if it has room.
    fn take(&mut self, raw: &mut Vec<u8>) -> Result<(), SourceError> {
        self.decode(raw)?;
        match self.body.len() > MAX_ANSWER {
            true => Err(format!("the answer is longer than {} MiB", MAX_ANSWER >> 20).into()),
            false => Ok(()),
        }
    }

    /// Moves what was received to the body.
    fn decode(&mut self, raw: &mut Vec<u8>) -> Result<(), SourceError> {
        match &mut self.left {
            Left::Nothing => {}
            Left::UntilClose => self.body.append(raw),
            Left::Length(left) => {
                let count = raw.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                self.body.extend(raw.drain(..count));
                *left -= count as u64;
                if *left == 0 {
                    self.left = Left::Nothing;
                }
            }
            Left::Chunks(chunked) => {
                let joined = chunked.join(raw).map_err(|_| "the answer is not HTTP".to_owned())?;
                self.body.extend_from_slice(&raw[joined.data]);
                raw.drain(..joined.used);
                if joined.ended {
                    self.left = Left::Nothing;
                }
            }
        }
        Ok(())
    }

    /// The body of a complete answer.
    fn answer(self) -> Result<Vec<u8>, SourceError> {
        match self.status {
            200 => Ok(self.body),
            status => Err(answer::refusal(status, &self.body)),
        }
    }
}

/// Why nothing was received.
enum Closed {
    AtEnd,
    Broken(String),
}

impl From<Closed> for SourceError {
    fn from(closed: Closed) -> Self {
        match closed {
            Closed::AtEnd => "the connection was closed".into(),
            Closed::Broken(reason) => reason.into(),
        }
    }
}

impl Line {
    async fn receive(&mut self) -> Result<(), Closed> {
        let Self { conn, raw, .. } = self;
        match poll_fn(|cx| conn.poll_recv(cx, raw, READ)).await {
            Ok(0) => Err(Closed::AtEnd),
            Ok(_) => Ok(()),
            Err(error) => Err(Closed::Broken(format!("recv() failed ({})", OsError(&error)))),
        }
    }
}

/// A response of messages, one on each line.
#[derive(Debug)]
pub(super) struct Stream {
    line: Line,
    response: Response,
    /// Where the next message begins in the body.
    at: usize,
    /// Up to where the body has no end of that message.
    seen: usize,
}

impl Stream {
    /// The next message in memory.
    fn received(&mut self) -> Option<Vec<u8>> {
        let body = &mut self.response.body;
        let Some(end) = body[self.seen..].iter().position(|&byte| byte == b'\n') else {
            body.drain(..self.at);
            (self.at, self.seen) = (0, body.len());
            return None;
        };
        let end = self.seen + end;
        let message = body[self.at..end].to_vec();
        (self.at, self.seen) = (end + 1, end + 1);
        Some(message)
    }

    /// The next message, if it has come.
    ///
    /// # Errors
    /// There will be none.
    pub(super) async fn ready(&mut self) -> Result<Option<Vec<u8>>, SourceError> {
        loop {
            if let Some(message) = self.received() {
                return Ok(Some(message));
            }
            let Line { conn, raw, .. } = &mut self.line;
            let received = poll_fn(|cx| Poll::Ready(conn.poll_recv(cx, raw, READ))).await;
            match received {
                // What the end is, the next wait finds out.
                Poll::Pending | Poll::Ready(Ok(0) | Err(_)) => return Ok(None),
                Poll::Ready(Ok(_)) => self.response.take(&mut self.line.raw)?,
            }
        }
    }

    /// Waits for the next message. Nothing is lost if this is given up.
    ///
    /// # Errors
    /// There will be none.
    pub(super) async fn next(&mut self) -> Result<Vec<u8>, SourceError> {
        loop {
            if self.response.status == 200
                && let Some(message) = self.received()
            {
                return Ok(message);
            }
            if self.response.left == Left::Nothing {
                return match self.response.status {
                    200 => Err("the watch was ended".into()),
                    status => Err(answer::refusal(status, &self.response.body)),
                };
            }
            self.response.more(&mut self.line).await?;
        }
    }

    /// As [`next`](Self::next), with a timeout.
    ///
    /// # Errors
    /// There was none in time.
    pub(super) async fn next_in_time(&mut self) -> Result<Vec<u8>, SourceError> {
        within(TIMEOUT, self.next()).await
    }
}
