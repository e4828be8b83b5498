//! The API over HTTP.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::reason::Reason;
use super::url::{Place, Url};

/// The version of the API that is asked.
const VERSION: u8 = 9;

/// The longest time for an answer, however slowly it comes.
const PATIENCE: Duration = Duration::from_secs(5);

/// The largest answer, that of some 50,000 servers of a release without pages.
const LARGEST: usize = 64 << 20;

/// The largest head of an answer.
const LARGEST_HEAD: usize = 64 << 10;

/// The size of a read.
const READ: usize = 64 << 10;

/// An API.
#[derive(Debug)]
pub(super) struct Api(Url);

/// An answer of status 200 to 299, or `None` where the server has no such path.
type Answer = Result<Option<Value>, Reason>;

/// Why a change was not made.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    /// The server is not as it was expected to be; the difference in the API's words.
    Differs(String),
    /// There is no such server.
    Gone,
    /// Another reason.
    Failed(Reason),
}

/// A reply: its status, where it redirects to, and its body if that is JSON.
struct Reply {
    status: u16,
    location: String,
    value: Option<Value>,
}

/// The reason in a reply that refuses something.
fn told(value: Option<&Value>) -> &str {
    value.and_then(|value| value.pointer("/error/text")?.as_str()).unwrap_or_default()
}

impl Api {
    pub(super) fn new(url: Url) -> Self {
        Self(url)
    }

    /// Its name for people.
    pub(super) fn shown(&self) -> String {
        self.0.shown()
    }

    /// The content of a path below the version.
    ///
    /// # Errors
    /// There is no answer, or one that is neither 200 nor 404.
    pub(super) fn get(&self, path: &str) -> Answer {
        self.found(self.ask("GET", path, "")?)
    }

    /// Changes the server at a path, and returns how it is then.
    ///
    /// # Errors
    /// The change was refused.
    pub(super) fn patch(&self, path: &str, body: &Value) -> Result<Value, Refusal> {
        match self.ask("PATCH", path, &body.to_string()) {
            Ok(Reply { status: 412, value, .. }) => {
                Err(Refusal::Differs(told(value.as_ref()).to_owned()))
            }
            Ok(reply) => self.found(reply).map_err(Refusal::Failed)?.ok_or(Refusal::Gone),
            Err(reason) => Err(Refusal::Failed(reason)),
        }
    }

    /// The content of a reply, or `None` where the server has no such path.
    fn found(&self, reply: Reply) -> Answer {
        let Reply { status, location, value } = reply;
        let shown = self.shown();
        match (status, value) {
            (200 | 201, Some(value)) => return Ok(Some(value)),
            (204, _) => return Ok(Some(Value::Null)),
            (404, Some(_)) => return Ok(None),
            (200 | 201, None) => Err(format!("{shown} is no API: it answers without JSON")),
            (300..=399, _) => Err(format!("{shown} answers {status}: it is at {location}")),
            (401, _) => {
                Err(format!("{shown} answers 401: name the URL with http://NAME:PASSWORD@HOST/"))
            }
            (405, _) => Err("the API is not writable: \"api write=on;\" allows changes".to_owned()),
            (_, value) => match told(value.as_ref()) {
                "" => Err(format!("{shown} answers {status}")),
                told => Err(format!("{shown} answers {status}: {told}")),
            },
        }
        .map_err(Reason::new)
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<Reply, Reason> {
        let failed = |error: io::Error| Reason::new(format!("{}: {error}", self.shown()));
        let answer = self.exchange(method, path, body).map_err(failed)?;
        let head = head_of(&answer).unwrap_or(&answer);
        let text = String::from_utf8_lossy(head);
        let status = text.split(' ').nth(1).and_then(|status| status.get(..3)?.parse().ok());
        let Some(status) = status.filter(|_| text.starts_with("HTTP/")) else {
            return Err(Reason::new(format!("{} does not answer in HTTP", self.shown())));
        };
        let location = field(head, "location").unwrap_or_default();
        let value = serde_json::from_slice(&answer[head.len()..]).ok();
        Ok(Reply { status, location, value })
    }

    fn exchange(&self, method: &str, path: &str, body: &str) -> io::Result<Vec<u8>> {
        let Url { place, path: base, authorization } = &self.0;
        let host = match place {
            Place::Tcp(socket) => socket.as_str(),
            Place::Unix(_) => "localhost",
        };
        let authorization = authorization.as_ref();
        let authorization = authorization.map(|value| format!("Authorization: {value}\r\n"));
        // HTTP/1.0: the body ends with the connection, and has no chunks.
        let request = format!(
            "{method} {base}/{VERSION}/{path} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {}\r\n{}\
             Content-Type: application/json\r\n\r\n{body}",
            body.len(),
            authorization.unwrap_or_default()
        );
        let end = Instant::now() + PATIENCE;
        match place {
            Place::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                let limit = |left| {
                    stream.set_write_timeout(Some(left))?;
                    stream.set_read_timeout(Some(left))
                };
                converse(&stream, &request, end, limit)
            }
            Place::Tcp(socket) => {
                let stream = connect(socket, end)?;
                let limit = |left| {
                    stream.set_write_timeout(Some(left))?;
                    stream.set_read_timeout(Some(left))
                };
                converse(&stream, &request, end, limit)
            }
        }
    }
}

/// Connects to the first address of a name that takes connections.
fn connect(socket: &str, end: Instant) -> io::Result<TcpStream> {
    let mut failed = io::Error::other("the name has no address");
    for address in socket.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left(end)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// The time that is left.
fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in 5 seconds")),
        false => Ok(left),
    }
}

/// Sends a request, and reads up to the end of its answer.
fn converse<S>(
    stream: &S,
    request: &str,
    end: Instant,
    limit: impl Fn(Duration) -> io::Result<()>,
) -> io::Result<Vec<u8>>
where
    for<'a> &'a S: Read + Write,
{
    let mut stream = stream;
    limit(left(end)?)?;
    let sent = stream.write_all(request.as_bytes());
    let (mut answer, mut buffer) = (Vec::new(), vec![0; READ]);
    while !is_whole(&answer) {
        limit(left(end)?)?;
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => answer.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => drop(left(end)?),
            // A refusal may come before the whole request was taken.
            Err(error) if answer.is_empty() => return sent.and(Err(error)),
            Err(_) => break,
        }
        if answer.len() > LARGEST {
            return Err(io::Error::other("the answer is larger than 64 MB"));
        }
    }
    match answer.is_empty() {
        true => sent.and(Err(io::ErrorKind::UnexpectedEof.into())),
        false => Ok(answer),
    }
}

/// The head of an answer, with the empty line at its end.
fn head_of(answer: &[u8]) -> Option<&[u8]> {
    let at = answer[..answer.len().min(LARGEST_HEAD)]
        .windows(4)
        .position(|window| window == b"\r\n\r\n")?;
    Some(&answer[..at + 4])
}

/// The value of a field of a head.
fn field(head: &[u8], name: &str) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    let fields = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let mut named = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
    named.next().map(|(_, value)| value.trim().to_owned())
}

/// Whether an answer is as long as its head says.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = head_of(answer) else { return false };
    let length: Option<usize> = field(head, "content-length").and_then(|it| it.parse().ok());
    length.is_some_and(|length| answer.len() - head.len() >= length)
}

/// A name as one segment of a path, or as the value of an argument (RFC 3986).
pub(super) fn segment(name: &str) -> String {
    let mut segment = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                segment.push(char::from(byte));
            }
            // Writing to a String cannot fail.
            _ => drop(write!(segment, "%{byte:02X}")),
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_segments() {
        assert_eq!(segment("app-1.test_~"), "app-1.test_~");
        assert_eq!(segment("a/b c?%#\u{e9}"), "a%2Fb%20c%3F%25%23%C3%A9");
    }

    #[test]
    fn answers_end_where_they_say() {
        let head = b"HTTP/1.1 200 OK\r\nContent-length: 2\r\nLocation:  x\r\n\r\n";
        assert!(
            !is_whole(head) && !is_whole(b"HTTP/1.1 200") && is_whole(&[head, &b"{}"[..]].concat())
        );
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\n\r\n{}"));
        assert_eq!(field(head, "location"), Some("x".to_owned()));
    }
}
