//! The addresses that `listen` and `resolver` accept.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use weir_conf::Environment;
use weir_conf::value::parse_number;

/// The room that Linux has for the path of a unix socket, its final NUL included.
const UNIX_PATH_MAX: usize = 108;

/// An address that can be bound or connected to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IPv4 or IPv6 address with its port.
    Inet(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Whether it stands for every address of its family.
    pub fn is_wildcard(&self) -> bool {
        matches!(self, Self::Inet(address) if address.ip().is_unspecified())
    }

    /// The port; 0 for a unix socket.
    pub fn port(&self) -> u16 {
        match self {
            Self::Inet(address) => address.port(),
            Self::Unix(_) => 0,
        }
    }

    /// The family: 4, 6, or 1 for a unix socket.
    pub(crate) fn family(&self) -> u8 {
        match self {
            Self::Inet(SocketAddr::V4(_)) => 4,
            Self::Inet(SocketAddr::V6(_)) => 6,
            Self::Unix(_) => 1,
        }
    }
}

impl fmt::Display for Address {
    /// As nginx writes it in messages: `0.0.0.0:80`, `[::]:80`, `unix:/run/weir.sock`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(out),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

/// Parses what nginx's `ngx_parse_url` would, in its order and with its words for what is wrong.
///
/// A name is looked up and may give several addresses; a range of ports multiplies them.
pub(crate) fn parse(
    text: &str,
    default_port: u16,
    env: &dyn Environment,
) -> Result<Vec<Address>, &'static str> {
    if text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("unix:")) {
        return parse_unix(&text[5..]);
    }
    if let Some(rest) = text.strip_prefix('[') {
        return parse_v6(rest, default_port);
    }
    parse_host(text, default_port, env)
}

fn parse_unix(path: &str) -> Result<Vec<Address>, &'static str> {
    if path.is_empty() {
        return Err("no path in the unix domain socket");
    }
    if path.len() >= UNIX_PATH_MAX {
        return Err("too long path in the unix domain socket");
    }
    Ok(vec![Address::Unix(PathBuf::from(path))])
}

fn parse_v6(rest: &str, default_port: u16) -> Result<Vec<Address>, &'static str> {
    let (host, after) = rest.split_once(']').ok_or("invalid host")?;
    if after.contains('/') {
        return Err("invalid host");
    }
    let ports = match after.strip_prefix(':') {
        Some(port) => Ports::parse(port)?,
        None if after.is_empty() => Ports::one(default_port),
        None => return Err("invalid host"),
    };
    if host.is_empty() {
        return Err("no host");
    }
    let ip: Ipv6Addr = host.parse().map_err(|_| "invalid IPv6 address")?;
    Ok(ports.with(IpAddr::V6(ip)).collect())
}

fn parse_host(
    text: &str,
    default_port: u16,
    env: &dyn Environment,
) -> Result<Vec<Address>, &'static str> {
    if text.contains(['/', '?']) {
        return Err("invalid host");
    }
    let (host, ports) = match text.split_once(':') {
        Some((host, port)) => (host, Ports::parse(port)?),
        None => {
            if let Some(ports) = Ports::bare(text)? {
                return Ok(ports.with(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).collect());
            }
            (text, Ports::one(default_port))
        }
    };
    if host.is_empty() {
        return Err("no host");
    }
    if host == "*" {
        return Ok(ports.with(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).collect());
    }
    if let Some(ip) = parse_v4(host) {
        return Ok(ports.with(IpAddr::V4(ip)).collect());
    }
    let found = env.lookup(host).map_err(|_| "host not found")?;
    if found.is_empty() {
        return Err("host not found");
    }
    Ok(found.into_iter().flat_map(|ip| ports.with(ip)).collect())
}

/// Four decimal numbers; `255.255.255.255` is left to the look-up, as nginx does.
fn parse_v4(host: &str) -> Option<Ipv4Addr> {
    let mut octets = [0u8; 4];
    let mut parts = host.split('.');
    for octet in &mut octets {
        *octet = u8::try_from(number(parts.next()?)?).ok()?;
    }
    let ip = Ipv4Addr::from(octets);
    (parts.next().is_none() && ip != Ipv4Addr::BROADCAST).then_some(ip)
}

/// An inclusive range of ports.
#[derive(Clone, Copy)]
struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (first, Some(port(last)?)),
            None => (text, None),
        };
        Self::range(port(first)?, last)
    }

    /// A value without a host: `None` if it is not made of numbers.
    fn bare(text: &str) -> Result<Option<Self>, &'static str> {
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => {
                let Some(last) = number(last) else { return Ok(None) };
                (first, Some(last))
            }
            None => (text, None),
        };
        let Some(first) = number(first) else { return Ok(None) };
        let last = last.map(valid_port).transpose()?;
        Self::range(valid_port(first)?, last).map(Some)
    }

    fn range(first: u16, last: Option<u16>) -> Result<Self, &'static str> {
        let last = last.unwrap_or(first);
        if first > last {
            return Err("invalid port range");
        }
        Ok(Self { first, last })
    }

    fn with(self, ip: IpAddr) -> impl Iterator<Item = Address> {
        (self.first..=self.last).map(move |port| Address::Inet(SocketAddr::new(ip, port)))
    }
}

fn port(text: &str) -> Result<u16, &'static str> {
    valid_port(number(text).ok_or("invalid port")?)
}

fn valid_port(number: u64) -> Result<u16, &'static str> {
    match u16::try_from(number) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("invalid port"),
    }
}

fn number(text: &str) -> Option<u64> {
    parse_number(text.as_bytes())
}
