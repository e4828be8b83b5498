//! Addresses in directives: `host`, `host:port`, `[v6]:port`, `unix:/path`. The only parser for
//! servers, name servers, logs and listeners; errors are in nginx's words (`ngx_parse_url`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use weir_conf::Environment;
use weir_conf::value::{parse_ipv4, parse_number, parse_port};

use crate::Addr;

/// The maximum length of a unix socket's path: the kernel's 108 bytes include a final zero.
const MAX_UNIX_PATH: usize = 107;

/// A parsed address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// The host as written, brackets included; the path of a unix socket.
    pub host: String,
    /// The given port, or else the default one; 0 for a unix socket.
    pub port: u16,
    /// A port was given.
    pub has_port: bool,
    /// The text after the address: `/uri` (`:/uri` after a unix socket), without that colon.
    pub uri: String,
    /// The resolved addresses; empty for a name that was not to be resolved.
    pub addresses: Vec<Addr>,
}

impl Url {
    /// Whether it is a unix socket.
    pub fn is_unix(&self) -> bool {
        matches!(self.addresses.first(), Some(Addr::Unix(_)))
    }
}

/// The options of parsing.
#[derive(Clone, Copy)]
pub struct UrlOptions<'a> {
    /// The default port.
    pub default_port: u16,
    /// A URI may follow.
    pub uri_part: bool,
    /// The resolver of names; `None` leaves them unresolved.
    pub lookup: Option<&'a dyn Environment>,
}

/// Parses an address to connect to.
///
/// # Errors
/// nginx's message, to be followed by ` in DIRECTIVE "URL"`.
pub fn parse_url(text: &str, options: UrlOptions<'_>) -> Result<Url, &'static str> {
    if let Some(rest) = unix_path(text) {
        let found = rest.split_once(':').filter(|_| options.uri_part);
        let (path, uri) = found.unwrap_or((rest, ""));
        let (host, uri) = (path.to_owned(), uri.to_owned());
        let addresses = vec![unix_socket(path)?];
        return Ok(Url { host, port: 0, has_port: false, uri, addresses });
    }
    let parts = Parts::split(text)?;
    if !parts.uri.is_empty() && !options.uri_part {
        return Err("invalid host");
    }
    let written = parts.port.map(valid_port).transpose()?;
    let port = written.unwrap_or(options.default_port);
    let addresses = match (parts.ip()?, options.lookup) {
        (Some(ip), _) => vec![Addr::Inet((ip, port).into())],
        (None, None) => Vec::new(),
        (None, Some(env)) => look_up(env, parts.host, port)?,
    };
    let host = if parts.bracketed { format!("[{}]", parts.host) } else { parts.host.to_owned() };
    Ok(Url { host, port, has_port: written.is_some(), uri: parts.uri.to_owned(), addresses })
}

/// The addresses of a `listen`: `*` and a lone port mean every IPv4 address, and a range of ports
/// multiplies the addresses.
///
/// # Errors
/// Those of [`parse_url`].
pub fn parse_listen(
    text: &str,
    default_port: u16,
    env: &dyn Environment,
) -> Result<Vec<Addr>, &'static str> {
    if let Some(path) = unix_path(text) {
        return Ok(vec![unix_socket(path)?]);
    }
    let parts = Parts::split(text)?;
    if !parts.uri.is_empty() {
        return Err("invalid host");
    }
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let ports = match parts.port {
        Some(port) => PortRange::parse(port)?,
        None if parts.bracketed => PortRange::one(default_port),
        None => match PortRange::bare(parts.host)? {
            Some(ports) => return Ok(ports.with(any).collect()),
            None => PortRange::one(default_port),
        },
    };
    if parts.host == "*" && !parts.bracketed {
        return Ok(ports.with(any).collect());
    }
    match parts.ip()? {
        Some(ip) => Ok(ports.with(ip).collect()),
        None => Ok(found(env, parts.host)?.into_iter().flat_map(|ip| ports.with(ip)).collect()),
    }
}

/// The addresses of a name, by the system's resolver.
///
/// # Errors
/// `host not found`
pub fn look_up(env: &dyn Environment, host: &str, port: u16) -> Result<Vec<Addr>, &'static str> {
    let inet = |ip: IpAddr| Addr::Inet(SocketAddr::new(ip, port));
    Ok(found(env, host)?.into_iter().map(inet).collect())
}

fn found(env: &dyn Environment, host: &str) -> Result<Vec<IpAddr>, &'static str> {
    let found = env.lookup(host).ok().filter(|found| !found.is_empty());
    found.ok_or("host not found")
}

/// The text after `unix:`.
fn unix_path(text: &str) -> Option<&str> {
    let (start, path) = text.split_at_checked(5)?;
    start.eq_ignore_ascii_case("unix:").then_some(path)
}

fn unix_socket(path: &str) -> Result<Addr, &'static str> {
    if path.is_empty() {
        return Err("no path in the unix domain socket");
    }
    if path.len() > MAX_UNIX_PATH {
        return Err("too long path in the unix domain socket");
    }
    Ok(Addr::unix(path))
}

/// The parts of an address other than a unix socket's.
struct Parts<'a> {
    /// Without its brackets.
    host: &'a str,
    /// The host is IPv6, in brackets.
    bracketed: bool,
    /// The text after the colon.
    port: Option<&'a str>,
    /// Starts with its slash or question mark.
    uri: &'a str,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Result<Self, &'static str> {
        let Some(rest) = text.strip_prefix('[') else {
            let (address, uri) = text.split_at(text.find(['/', '?']).unwrap_or(text.len()));
            let (host, port) = match address.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            };
            return Ok(Self { host, bracketed: false, port, uri });
        };
        let (host, tail) = rest.split_once(']').ok_or("invalid host")?;
        let (port, uri) = tail.split_at(tail.find('/').unwrap_or(tail.len()));
        let port = match port {
            "" => None,
            port => Some(port.strip_prefix(':').ok_or("invalid host")?),
        };
        Ok(Self { host, bracketed: true, port, uri })
    }

    /// The address if the host is one; `None` for a name.
    fn ip(&self) -> Result<Option<IpAddr>, &'static str> {
        if self.host.is_empty() {
            return Err("no host");
        }
        if !self.bracketed {
            return Ok(parse_ipv4(self.host.as_bytes()).map(IpAddr::from));
        }
        let ip: Ipv6Addr = self.host.parse().map_err(|_| "invalid IPv6 address")?;
        Ok(Some(ip.into()))
    }
}

/// An inclusive range of ports.
#[derive(Clone, Copy)]
struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (first, Some(valid_port(last)?)),
            None => (text, None),
        };
        Self::new(valid_port(first)?, last)
    }

    /// A value without a host: `None` if it does not consist of numbers.
    fn bare(text: &str) -> Result<Option<Self>, &'static str> {
        let is_number = |text: &str| parse_number(text.as_bytes()).is_some();
        let numbers = match text.split_once('-') {
            Some((first, last)) => is_number(first) && is_number(last),
            None => is_number(text),
        };
        if numbers { Self::parse(text).map(Some) } else { Ok(None) }
    }

    fn new(first: u16, last: Option<u16>) -> Result<Self, &'static str> {
        let last = last.unwrap_or(first);
        if first > last { Err("invalid port range") } else { Ok(Self { first, last }) }
    }

    fn with(self, ip: IpAddr) -> impl Iterator<Item = Addr> {
        (self.first..=self.last).map(move |port| Addr::Inet(SocketAddr::new(ip, port)))
    }
}

fn valid_port(text: &str) -> Result<u16, &'static str> {
    parse_port(text.as_bytes()).ok_or("invalid port")
}

#[cfg(test)]
mod tests {
    use weir_conf::environment::Memory;

    use super::*;

    fn environment() -> Memory {
        let mut env = Memory::default();
        let loopback = ["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        env.hosts.insert("localhost".into(), loopback.to_vec());
        env
    }

    fn parse(text: &str) -> Result<Url, &'static str> {
        let env = environment();
        parse_url(text, UrlOptions { default_port: 80, uri_part: true, lookup: Some(&env) })
    }

    fn shown(addresses: &[Addr]) -> String {
        let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        texts.join(",")
    }

    fn texts(text: &str) -> String {
        let url = parse(text).unwrap();
        format!("{} {} {}", url.host, shown(&url.addresses), url.uri)
    }

    #[test]
    fn addresses_of_all_kinds() {
        assert_eq!(texts("127.0.0.1"), "127.0.0.1 127.0.0.1:80 ");
        assert_eq!(texts("127.0.0.1:8080/a:b"), "127.0.0.1 127.0.0.1:8080 /a:b");
        assert_eq!(texts("localhost?x"), "localhost 127.0.0.1:80,[::1]:80 ?x");
        assert_eq!(texts("[::1]:81/"), "[::1] [::1]:81 /");
        assert_eq!(texts("UNIX:/tmp/s:/uri"), "/tmp/s unix:/tmp/s /uri");
        assert_eq!(texts("127.000.0.01"), "127.000.0.01 127.0.0.1:80 ");
    }

    #[test]
    fn faults_in_nginx_words() {
        for (text, fault) in [
            ("nowhere", "host not found"),
            (":80", "no host"),
            ("a:b", "invalid port"),
            ("a:0", "invalid port"),
            ("a:65536", "invalid port"),
            ("[::1", "invalid host"),
            ("[::1]80", "invalid host"),
            ("[]:80", "no host"),
            ("[x]:80", "invalid IPv6 address"),
            ("unix:", "no path in the unix domain socket"),
        ] {
            assert_eq!(parse(text), Err(fault), "{text}");
        }
        let options = UrlOptions { default_port: 53, uri_part: false, lookup: None };
        assert_eq!(parse_url("127.0.0.1/a", options), Err("invalid host"));
        assert_eq!(parse_url("name", options).unwrap().addresses, []);
        let long = format!("unix:{}", "x".repeat(MAX_UNIX_PATH + 1));
        assert_eq!(parse(&long), Err("too long path in the unix domain socket"));
    }

    #[test]
    fn addresses_to_listen_at() {
        let env = environment();
        let parse = |text| parse_listen(text, 80, &env).map(|found| shown(&found));
        for (text, addresses) in [
            ("8080", "0.0.0.0:8080"),
            ("*:81", "0.0.0.0:81"),
            ("*", "0.0.0.0:80"),
            ("127.0.0.1", "127.0.0.1:80"),
            ("[::]:443", "[::]:443"),
            ("[::1]", "[::1]:80"),
            ("81-83", "0.0.0.0:81,0.0.0.0:82,0.0.0.0:83"),
            ("localhost:1-2", "127.0.0.1:1,127.0.0.1:2,[::1]:1,[::1]:2"),
            ("Unix:/run/w", "unix:/run/w"),
            // Resolved like a name.
            ("255.255.255.255", "255.255.255.255:80"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(addresses), "{text}");
        }
        for (text, fault) in [
            ("0", "invalid port"),
            ("70000", "invalid port"),
            ("83-81", "invalid port range"),
            ("81-x", "host not found"),
            ("127.0.0.1:x", "invalid port"),
            ("127.0.0.1:1-", "invalid port"),
            ("127.0.0.1/", "invalid host"),
            ("[::1]80", "invalid host"),
            ("", "no host"),
            (":80", "no host"),
        ] {
            assert_eq!(parse(text).map_err(ToOwned::to_owned), Err(fault.to_owned()), "{text}");
        }
    }
}
