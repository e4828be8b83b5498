//! Hosts, as sent by clients and as named in `proxy_pass` and `server`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::words;

/// An invalid host sent by a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidHost;

/// Checks a `Host` value or the authority of a target. Appends the host to `out`, in lower case,
/// without its port and trailing dot, and returns the port (0 if there is none).
///
/// The characters of RFC 3986's reg-name and `%` are allowed; a name has no empty label in its
/// middle.
pub fn parse_host(text: &[u8], out: &mut Vec<u8>) -> Result<u16, InvalidHost> {
    let base = out.len();
    if let Some(port) = parse_usual_host(text, out) {
        return Ok(port);
    }
    out.truncate(base);
    parse_any_host(text, out)
}

/// As [`parse_host`], for hosts of letters, digits, dashes and single dots only.
#[inline]
fn parse_usual_host(text: &[u8], out: &mut Vec<u8>) -> Option<u16> {
    const CASE: u64 = words::each(0x20);
    let base = out.len();
    let (mut rest, mut dot_before) = (text, 0);
    loop {
        let (word, next) = match rest.split_first_chunk::<8>() {
            Some((word, next)) => (u64::from_le_bytes(*word), next),
            // The zeros above the last bytes are not part of a host.
            None => (words::load(rest), &[][..]),
        };
        let dots = words::exactly(word, b'.');
        if dots & (dots << 8 | dot_before) != 0 {
            return None;
        }
        // The case bit lower-cases letters; digits, dashes and dots have it already.
        out.extend_from_slice(&(word | CASE).to_le_bytes());
        let end = words::lowest(words::not_host(word));
        if end < 8 {
            out.truncate(out.len() - 8 + end);
            rest = rest.get(end..)?;
            break;
        }
        dot_before = dots >> 56;
        rest = next;
    }
    let port = match rest {
        [] => 0,
        [b':', digits @ ..] => parse_port(digits).ok()?,
        _ => return None,
    };
    if out.len() > base && out.last() == Some(&b'.') {
        out.pop();
    }
    (out.len() > base).then_some(port)
}

fn parse_any_host(text: &[u8], out: &mut Vec<u8>) -> Result<u16, InvalidHost> {
    let base = out.len();
    let literal = text.first() == Some(&b'[');
    let mut at = usize::from(literal);
    out.extend_from_slice(&text[..at]);
    let mut dot = false;
    while let Some(&byte) = text.get(at) {
        let end = if literal { b']' } else { b':' };
        if byte == end {
            break;
        }
        let taken = match byte {
            b':' => literal,
            b'%' => !literal,
            _ => in_host(byte),
        };
        if !taken {
            return Err(InvalidHost);
        }
        if byte == b'.' && dot {
            return Err(InvalidHost);
        }
        dot = byte == b'.';
        out.push(byte.to_ascii_lowercase());
        at += 1;
    }
    if literal {
        if at == text.len() {
            return Err(InvalidHost);
        }
        out.push(b']');
        at += 1;
        dot = false;
    }
    let port = match text.get(at) {
        None => 0,
        Some(b':') => parse_port(&text[at + 1..])?,
        Some(_) => return Err(InvalidHost),
    };
    if dot {
        out.pop();
    }
    if out.len() == base { Err(InvalidHost) } else { Ok(port) }
}

/// Parses digits up to 65535; no digits are 0, as in `Host: name:`.
fn parse_port(digits: &[u8]) -> Result<u16, InvalidHost> {
    let mut port = 0_u32;
    for byte in digits {
        let digit = u32::from(byte.wrapping_sub(b'0'));
        port = port * 10 + digit;
        // An overlarge number stays overlarge, and further digits cannot overflow it.
        if digit > 9 || port > u32::from(u16::MAX) {
            return Err(InvalidHost);
        }
    }
    Ok(port as u16)
}

/// Unreserved characters and sub-delims of RFC 3986.
fn in_host(byte: u8) -> bool {
    IN_HOST[byte as usize]
}

static IN_HOST: [bool; 256] = host_bytes();

const fn host_bytes() -> [bool; 256] {
    let mut table = [false; 256];
    let mut i = 0;
    while i < 128 {
        table[i] = (i as u8).is_ascii_alphanumeric();
        i += 1;
    }
    let marks = b"-._~!$&'()*+,;=";
    i = 0;
    while i < marks.len() {
        table[marks[i] as usize] = true;
        i += 1;
    }
    table
}

/// The scheme of a `proxy_pass` URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http://`, port 80.
    Http,
    /// `https://`, port 443.
    Https,
}

impl Scheme {
    /// The scheme's default port.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// `http` or `https`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The host of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name: an upstream group, or a host to resolve.
    Name(String),
    /// An address.
    Ip(IpAddr),
    /// The path of a unix socket.
    Unix(String),
}

/// A refused server address, in nginx's wording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostError(pub &'static str);

/// A URL of `proxy_pass`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyUrl {
    /// The scheme.
    pub scheme: Scheme,
    /// The host.
    pub host: Host,
    /// The port of the URL or of its scheme; 0 for a unix socket.
    pub port: u16,
    /// Whether the URL has no port.
    pub no_port: bool,
    /// The value of `Host` and `$proxy_host`: `host:port` as written, or `localhost`.
    pub authority: String,
    /// The URI from the first `/` or `?` on; empty if there is none.
    pub uri: String,
}

impl ProxyUrl {
    /// Parses `http://host[:port][/uri]`, `https://…`, `http://unix:/path[:/uri]`.
    pub fn parse(url: &str) -> Result<Self, HostError> {
        let has =
            |prefix: &str| url.get(..prefix.len()).is_some_and(|p| p.eq_ignore_ascii_case(prefix));
        let (scheme, skip) = if has("http://") {
            (Scheme::Http, 7)
        } else if has("https://") {
            (Scheme::Https, 8)
        } else {
            return Err(HostError("invalid URL prefix"));
        };
        let rest = &url[skip..];
        let (server, uri) = split_uri(rest);
        let (host, port) = parse_server(server)?;
        let authority = match &host {
            Host::Unix(_) => "localhost".into(),
            _ => server.into(),
        };
        Ok(Self {
            scheme,
            no_port: port.is_none(),
            port: match host {
                Host::Unix(_) => 0,
                _ => port.unwrap_or(scheme.default_port()),
            },
            host,
            authority,
            uri: uri.into(),
        })
    }
}

/// Splits the URI off: at the second colon after `unix:`, else at the first `/` or `?`.
fn split_uri(text: &str) -> (&str, &str) {
    if is_unix(text) {
        return match text[5..].find(':') {
            Some(colon) => (&text[..5 + colon], &text[5 + colon + 1..]),
            None => (text, ""),
        };
    }
    let from = if text.starts_with('[') { text.find(']').unwrap_or(0) } else { 0 };
    match text[from..].find(['/', '?']) {
        Some(at) => text.split_at(from + at),
        None => (text, ""),
    }
}

fn is_unix(text: &str) -> bool {
    text.get(..5).is_some_and(|prefix| prefix.eq_ignore_ascii_case("unix:"))
}

/// The longest path that fits a `sockaddr_un` with its NUL.
const UNIX_PATH_MAX: usize = 107;

/// Parses `host[:port]`, `[v6][:port]` or `unix:path`, as `server` and `proxy_pass` name servers.
pub fn parse_server(text: &str) -> Result<(Host, Option<u16>), HostError> {
    if is_unix(text) {
        let path = &text[5..];
        return match path.len() {
            0 => Err(HostError("no path in the unix domain socket")),
            1..=UNIX_PATH_MAX => Ok((Host::Unix(path.into()), None)),
            _ => Err(HostError("too long path in the unix domain socket")),
        };
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or(HostError("invalid host"))?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port_number(port)?),
            None if rest.is_empty() => None,
            None => return Err(HostError("invalid host")),
        };
        if address.is_empty() {
            return Err(HostError("no host"));
        }
        let address: Ipv6Addr = address.parse().map_err(|_| HostError("invalid IPv6 address"))?;
        return Ok((Host::Ip(address.into()), port));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port_number(port)?)),
        None => (text, None),
    };
    if host.is_empty() {
        return Err(HostError("no host"));
    }
    let host = match host.parse::<Ipv4Addr>() {
        Ok(address) => Host::Ip(address.into()),
        Err(_) => Host::Name(host.into()),
    };
    Ok((host, port))
}

fn port_number(text: &str) -> Result<u16, HostError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let port = text.parse().ok().filter(|&port| digits && port != 0);
    port.ok_or(HostError("invalid port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_hosts() {
        for (text, expected) in [
            ("A.test", Some(("a.test", 0))),
            ("a.test:8080", Some(("a.test", 8080))),
            ("a.test:", Some(("a.test", 0))),
            ("a.test.:80", Some(("a.test", 80))),
            ("a.test.", Some(("a.test", 0))),
            ("[::1]:443", Some(("[::1]", 443))),
            ("[FE80::1]", Some(("[fe80::1]", 0))),
            ("a_b~c", Some(("a_b~c", 0))),
            ("a%20b", Some(("a%20b", 0))),
            ("a:65535", Some(("a", 65535))),
            ("a:65536", None),
            ("a:8x", None),
            ("[::1", None),
            ("[::1]x", None),
            ("[a%25b]", None),
            ("a..b", None),
            ("a..", None),
            (".", None),
            ("", None),
            (":80", None),
            ("a b", None),
            ("a/b", None),
            ("user@a", None),
            ("a\0", None),
            ("é", None),
        ] {
            let mut out = Vec::new();
            let port = parse_host(text.as_bytes(), &mut out).ok();
            let found = port.map(|port| (std::str::from_utf8(&out).expect("ASCII"), port));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn proxy_urls() {
        let url = ProxyUrl::parse("http://backend/a?b").expect("valid");
        assert_eq!(
            (url.host, url.port, url.uri),
            (Host::Name("backend".into()), 80, "/a?b".into())
        );
        let url = ProxyUrl::parse("https://[::1]:8443").expect("valid");
        assert_eq!((url.port, url.authority.as_str(), url.uri.as_str()), (8443, "[::1]:8443", ""));
        let url = ProxyUrl::parse("http://unix:/tmp/s:/x").expect("valid");
        assert_eq!((url.host, url.uri), (Host::Unix("/tmp/s".into()), "/x".into()));
        assert_eq!(url.authority, "localhost");
        let url = ProxyUrl::parse("http://127.0.0.1?a").expect("valid");
        assert_eq!((url.uri.as_str(), url.no_port), ("?a", true));
        for (text, error) in [
            ("ftp://a", "invalid URL prefix"),
            ("http://", "no host"),
            ("http://:80", "no host"),
            ("http://a:0", "invalid port"),
            ("http://a:", "invalid port"),
            ("http://a:65536", "invalid port"),
            ("http://a:+1", "invalid port"),
            ("http://[::1", "invalid host"),
            ("http://[zz]", "invalid IPv6 address"),
            ("http://unix:", "no path in the unix domain socket"),
        ] {
            assert_eq!(ProxyUrl::parse(text), Err(HostError(error)), "{text}");
        }
    }
}
