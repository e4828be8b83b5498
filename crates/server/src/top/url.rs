//! The location of an API: a socket and a path, as people write it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::reason::Reason;

/// Where an API is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) place: Place,
    /// The path of the location, without a slash at its end.
    pub(super) path: String,
    /// The value of `Authorization`.
    pub(super) authorization: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Host and port.
    Tcp(String),
    Unix(String),
}

impl Url {
    /// A location by its socket, `unix:/path` or host and port, and its path.
    pub(super) fn new(socket: &str, path: &str) -> Self {
        let place = match socket.strip_prefix("unix:") {
            Some(path) => Place::Unix(path.to_owned()),
            None => Place::Tcp(socket.to_owned()),
        };
        Self { place, path: path.trim_end_matches('/').to_owned(), authorization: None }
    }

    /// Reads a URL.
    ///
    /// # Errors
    /// It is no URL of this kind. The reason leaves a password out.
    pub(super) fn parse(url: &str) -> Result<Self, Reason> {
        let shown = url.rsplit_once('@').map_or(url, |(_, behind)| behind);
        let no_url = || Reason::new(format!("\"{shown}\" is no location of an API"));
        // What cannot be in a request line could begin another line.
        if url.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(no_url());
        }
        let url = url.split(['?', '#']).next().unwrap_or(url);
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
        if host.is_empty() || host.starts_with(':') {
            return Err(no_url());
        }
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let socket = if has_port { host.to_owned() } else { format!("{host}:80") };
        let mut url = Self::new(&socket, &format!("/{path}"));
        url.authorization = user.map(|user| format!("Basic {}", STANDARD.encode(decoded(user))));
        Ok(url)
    }

    /// Its name for people, without a password.
    pub(super) fn shown(&self) -> String {
        match &self.place {
            Place::Tcp(socket) => format!("{socket}{}", self.path),
            Place::Unix(path) => format!("unix:{path}:{}", self.path),
        }
    }
}

/// Bytes without percent-encoding (RFC 3986), so that a password may have any.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let digits = behind.get(..2).filter(|_| first == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|it| it.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(first);
                rest = behind;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_sockets_and_paths() {
        let of = |url| Url::parse(url).unwrap();
        assert_eq!(of("http://127.0.0.1:8000/api/"), Url::new("127.0.0.1:8000", "/api"));
        assert_eq!(of("http://127.0.0.1:8000/api/?x#y"), Url::new("127.0.0.1:8000", "/api"));
        assert_eq!(of("http://host"), Url::new("host:80", ""));
        assert_eq!(of("http://[::1]/x"), Url::new("[::1]:80", "/x"));
        assert_eq!(of("unix:/run/w.sock:/api/"), Url::new("unix:/run/w.sock", "/api"));
        let user = of("http://u:p%40%zz%4@host:81/api");
        assert_eq!(user.authorization, Some(format!("Basic {}", STANDARD.encode("u:p@%zz%4"))));
        assert_eq!(user.shown(), "host:81/api");
        for wrong in ["unix:/run/w.sock", "http://", "http://:80/", "http://a/\r\nX: y", "ftp://a"]
        {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
        let reason = Url::parse("http://u:secret@/").unwrap_err().to_string();
        assert!(!reason.contains("secret"), "{reason}");
    }
}
