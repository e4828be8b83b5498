//! The API over HTTP.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Reason;

/// The version of the API that is asked.
const VERSION: u8 = 9;

/// The longest wait for a connection or for bytes.
const PATIENCE: Duration = Duration::from_secs(5);

/// The largest answer: some 50,000 servers.
const LARGEST: u64 = 64 << 20;

/// The location of an API.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Api {
    place: Place,
    /// The path of the location, without a slash at its end.
    path: String,
    /// The value of `Authorization`.
    authorization: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// Host and port.
    Tcp(String),
    Unix(String),
}

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

/// A reply: its status, and its body if that is JSON.
struct Reply {
    status: u16,
    value: Option<Value>,
}

/// The reason in a reply that refuses something.
fn told(value: Option<&Value>) -> &str {
    value.and_then(|value| value.pointer("/error/text")?.as_str()).unwrap_or_default()
}

impl Api {
    /// An API at a socket and a path.
    pub(super) fn new(socket: &str, path: &str) -> Self {
        let place = match socket.strip_prefix("unix:") {
            Some(path) => Place::Unix(path.to_owned()),
            None => Place::Tcp(socket.to_owned()),
        };
        Self { place, path: path.trim_end_matches('/').to_owned(), authorization: None }
    }

    /// The API of a URL.
    ///
    /// # Errors
    /// It is no URL of this kind.
    pub(super) fn of_url(url: &str) -> Result<Self, Reason> {
        let no_url = || Reason(format!("\"{url}\" is no location of an API"));
        if let Some(rest) = url.strip_prefix("unix:") {
            let (socket, path) = rest.rsplit_once(":/").ok_or_else(no_url)?;
            return Ok(Self::new(&format!("unix:{socket}"), &format!("/{path}")));
        }
        let rest = url.strip_prefix("http://").ok_or_else(no_url)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let socket = if has_port { host.to_owned() } else { format!("{host}:80") };
        let mut api = Self::new(&socket, &format!("/{path}"));
        api.authorization = user.map(|user| format!("Basic {}", STANDARD.encode(user)));
        Ok(api)
    }

    /// Its name for people.
    pub(super) fn shown(&self) -> String {
        match &self.place {
            Place::Tcp(socket) => format!("{socket}{}", self.path),
            Place::Unix(path) => format!("unix:{path}:{}", self.path),
        }
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
            Ok(Reply { status: 412, value }) => {
                Err(Refusal::Differs(told(value.as_ref()).to_owned()))
            }
            Ok(reply) => self.found(reply).map_err(Refusal::Failed)?.ok_or(Refusal::Gone),
            Err(reason) => Err(Refusal::Failed(reason)),
        }
    }

    /// The content of a reply, or `None` where the server has no such path.
    fn found(&self, reply: Reply) -> Answer {
        let Reply { status, value } = reply;
        match (status, value) {
            (200 | 201, Some(value)) => Ok(Some(value)),
            (200 | 201, None) => {
                Err(Reason(format!("{} is no API: it answers without JSON", self.shown())))
            }
            (204, _) => Ok(Some(Value::Null)),
            (404, Some(_)) => Ok(None),
            (405, _) => {
                Err(Reason("the API is not writable: \"api write=on;\" allows changes".to_owned()))
            }
            (_, value) => {
                let told = match told(value.as_ref()) {
                    "" => String::new(),
                    told => format!(": {told}"),
                };
                Err(Reason(format!("{} answers {status}{told}", self.shown())))
            }
        }
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<Reply, Reason> {
        let failed = |error: io::Error| Reason(format!("{}: {error}", self.shown()));
        let answer = self.exchange(method, path, body).map_err(failed)?;
        let text = String::from_utf8_lossy(&answer);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        match status.filter(|_| head.starts_with("HTTP/")) {
            Some(status) => Ok(Reply { status, value: serde_json::from_str(body).ok() }),
            None => Err(Reason(format!("{} does not answer in HTTP", self.shown()))),
        }
    }

    fn exchange(&self, method: &str, path: &str, body: &str) -> io::Result<Vec<u8>> {
        let host = match &self.place {
            Place::Tcp(socket) => socket.as_str(),
            Place::Unix(_) => "localhost",
        };
        let authorization = self.authorization.as_ref();
        let authorization = authorization.map(|value| format!("Authorization: {value}\r\n"));
        // HTTP/1.0: the body ends with the connection, and has no chunks.
        let request = format!(
            "{method} {}/{VERSION}/{path} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {}\r\n{}\
             Content-Type: application/json\r\n\r\n{body}",
            self.path,
            body.len(),
            authorization.unwrap_or_default()
        );
        match &self.place {
            Place::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                converse(stream, &request)
            }
            Place::Tcp(socket) => {
                let address = socket.to_socket_addrs()?.next();
                let address = address.ok_or_else(|| io::Error::other("the name has no address"))?;
                let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                converse(stream, &request)
            }
        }
    }
}

/// A name as one segment of a path (RFC 3986).
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

/// Sends a request, and reads up to the end of the connection.
fn converse(mut stream: impl Read + Write, request: &str) -> io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LARGEST).read_to_end(&mut answer)?;
    Ok(answer)
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
    fn urls_name_sockets_and_paths() {
        let of = |url| Api::of_url(url).unwrap();
        assert_eq!(of("http://127.0.0.1:8000/api/"), Api::new("127.0.0.1:8000", "/api"));
        assert_eq!(of("http://host"), Api::new("host:80", ""));
        assert_eq!(of("http://[::1]/x"), Api::new("[::1]:80", "/x"));
        assert_eq!(of("unix:/run/w.sock:/api/"), Api::new("unix:/run/w.sock", "/api"));
        let user = of("http://u:p@host:81/api");
        assert_eq!(user.authorization.as_deref(), Some("Basic dTpw"));
        assert!(Api::of_url("unix:/run/w.sock").is_err());
    }
}
