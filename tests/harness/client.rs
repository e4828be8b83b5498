//! A raw HTTP/1 client with deadlines: it sends exactly the given bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{PATIENCE, chunk};

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    /// Bytes received and not consumed.
    buffer: Vec<u8>,
    patience: Duration,
}

/// A response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Response {
    /// The status line and header lines as received.
    pub(crate) head: String,
    /// The status code.
    pub(crate) status: u16,
    /// The header fields in order.
    pub(crate) headers: Vec<(String, String)>,
    /// The decoded body.
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The first value of a header field.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// All values of a header field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let same = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_str()).collect()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn parse(head: &[u8]) -> Option<Self> {
        let head = String::from_utf8_lossy(head).into_owned();
        let mut lines = head.lines();
        let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
        let pair = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.trim().to_owned()))
        };
        let headers = lines.filter(|line| !line.is_empty()).map(pair).collect::<Option<_>>()?;
        Some(Self { status, headers, body: Vec::new(), head })
    }

    fn has_no_body(&self) -> bool {
        self.status < 200 || self.status == 204 || self.status == 304
    }
}

impl Client {
    /// Connects.
    #[track_caller]
    pub(crate) fn connect(address: impl AsRef<str>) -> Self {
        let address = address.as_ref();
        match Self::try_connect(address) {
            Ok(client) => client,
            Err(error) => panic!("cannot connect to {address}: {error}"),
        }
    }

    /// Connects, or returns the error.
    pub(crate) fn try_connect(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address.parse().unwrap(), PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buffer: Vec::new(), patience: PATIENCE })
    }

    /// Sets the time limit of the following responses.
    pub(crate) fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sends bytes.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("the server takes the bytes");
        self
    }

    /// Sends bytes to a server that may respond and close early.
    pub(crate) fn send_if_wanted(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Requests `target` on a kept connection.
    #[track_caller]
    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        self.response()
    }

    /// Closes the sending direction.
    pub(crate) fn finish(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// Reads one response.
    #[track_caller]
    pub(crate) fn response(&mut self) -> Response {
        match self.try_response(false) {
            Ok(response) => response,
            Err(error) => panic!("no response: {error}; {:?}", self.received()),
        }
    }

    /// Reads the response to a HEAD request.
    #[track_caller]
    pub(crate) fn head_response(&mut self) -> Response {
        match self.try_response(true) {
            Ok(response) => response,
            Err(error) => panic!("no response: {error}; {:?}", self.received()),
        }
    }

    /// Reads a response, or returns the error.
    pub(crate) fn try_response(&mut self, no_body: bool) -> std::io::Result<Response> {
        let deadline = Instant::now() + self.patience;
        let mut response = self.response_head(deadline)?;
        if no_body || response.has_no_body() {
            return Ok(response);
        }
        let chunked = response.header("Transfer-Encoding").is_some();
        let length = response.header("Content-Length").map(str::parse::<usize>);
        response.body = match length {
            _ if chunked => self.chunked_body(deadline)?,
            Some(Ok(length)) => {
                self.fill(deadline, |buffer| buffer.len() >= length)?;
                self.buffer.drain(..length).collect()
            }
            Some(Err(_)) => return Err(ErrorKind::InvalidData.into()),
            None => self.take_rest(deadline)?,
        };
        Ok(response)
    }

    /// Reads the head of a response and leaves its body unread.
    #[track_caller]
    pub(crate) fn head(&mut self) -> Response {
        self.response_head(Instant::now() + self.patience).expect("the head of a response")
    }

    fn response_head(&mut self, deadline: Instant) -> std::io::Result<Response> {
        let end = |buffer: &[u8]| buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        self.fill(deadline, |buffer| end(buffer).is_some())?;
        let end = end(&self.buffer).unwrap() + 4;
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        Response::parse(&head).ok_or_else(|| {
            std::io::Error::new(ErrorKind::InvalidData, String::from_utf8_lossy(&head).into_owned())
        })
    }

    fn chunked_body(&mut self, deadline: Instant) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            match self.next_chunk(deadline)? {
                data if data.is_empty() => return Ok(body),
                data => body.extend(data),
            }
        }
    }

    fn next_chunk(&mut self, deadline: Instant) -> std::io::Result<Vec<u8>> {
        self.fill(deadline, |buffer| !matches!(chunk(buffer), Ok(None)))?;
        let found = chunk(&self.buffer)
            .map_err(|line| std::io::Error::new(ErrorKind::InvalidData, line))?
            .expect("it is complete");
        let data = self.buffer[found.data].to_vec();
        self.buffer.drain(..found.end);
        Ok(data)
    }

    /// Takes the data of a chunk; none for the last one.
    #[track_caller]
    pub(crate) fn take_chunk(&mut self) -> Vec<u8> {
        self.next_chunk(Instant::now() + self.patience).expect("a chunk")
    }

    /// Takes exactly `count` bytes.
    #[track_caller]
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let deadline = Instant::now() + self.patience;
        if let Err(error) = self.fill(deadline, |buffer| buffer.len() >= count) {
            panic!("{count} bytes: {error}; {:?}", self.received());
        }
        self.buffer.drain(..count).collect()
    }

    /// Reads until the server closes.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        self.try_rest().expect("the server closes the connection")
    }

    /// Reads until the server closes, or returns the error.
    pub(crate) fn try_rest(&mut self) -> std::io::Result<Vec<u8>> {
        self.take_rest(Instant::now() + self.patience)
    }

    fn take_rest(&mut self, deadline: Instant) -> std::io::Result<Vec<u8>> {
        match self.fill(deadline, |_| false) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
            // A reset after the last byte is an end as well: the server closed with unread input.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => return Err(error),
            Ok(()) => unreachable!("it is never enough"),
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Whether the server closed the connection without sending more.
    #[track_caller]
    pub(crate) fn is_closed(&mut self) -> bool {
        self.rest().is_empty()
    }

    /// The bytes received and not consumed, for messages.
    pub(crate) fn received(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    fn fill(&mut self, deadline: Instant, enough: impl Fn(&[u8]) -> bool) -> std::io::Result<()> {
        let mut chunk = [0; 64 * 1024];
        while !enough(&self.buffer) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Err(ErrorKind::TimedOut.into());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
