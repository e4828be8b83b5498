//! Addresses as directives write them: `host`, `host:port`, `[v6]:port`, `unix:/path`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use weir_conf::Environment;
use weir_engine::Addr;

/// The longest path of a UNIX socket: what fits into the kernel's 108 bytes with a zero.
const MAX_UNIX_PATH: usize = 107;

/// An address taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// The host as written, brackets included; the path of a UNIX socket.
    pub host: String,
    /// The port, the default one if none was written; 0 for a UNIX socket.
    pub port: u16,
    /// A port was written.
    pub has_port: bool,
    /// What follows the address: `/uri` (`:/uri` behind a UNIX socket), without that colon.
    pub uri: String,
    /// What the host stands for; empty if it is a name and names were not to be looked up.
    pub addresses: Vec<Addr>,
}

impl Url {
    /// Is it a UNIX socket?
    pub fn is_unix(&self) -> bool {
        matches!(self.addresses.first(), Some(Addr::Unix(_)))
    }
}

/// How to read an address.
#[derive(Clone, Copy)]
pub struct UrlOptions<'a> {
    /// The port of an address without one.
    pub default_port: u16,
    /// A URI may follow.
    pub uri_part: bool,
    /// Where to look names up; `None` leaves them as they are.
    pub lookup: Option<&'a dyn Environment>,
}

/// Takes an address apart.
///
/// # Errors
/// What is wrong with it in nginx's words, to be followed by ` in DIRECTIVE "URL"`.
pub fn parse_url(text: &str, options: UrlOptions<'_>) -> Result<Url, &'static str> {
    if text.len() >= 5 && text.as_bytes()[..5].eq_ignore_ascii_case(b"unix:") {
        unix(&text[5..], options)
    } else if let Some(rest) = text.strip_prefix('[') {
        inet6(rest, options)
    } else {
        inet(text, options)
    }
}

fn unix(mut path: &str, options: UrlOptions<'_>) -> Result<Url, &'static str> {
    let mut uri = "";
    if options.uri_part
        && let Some((before, after)) = path.split_once(':')
    {
        (path, uri) = (before, after);
    }
    if path.is_empty() {
        return Err("no path in the unix domain socket");
    }
    if path.len() > MAX_UNIX_PATH {
        return Err("too long path in the unix domain socket");
    }
    Ok(Url {
        host: path.to_owned(),
        port: 0,
        has_port: false,
        uri: uri.to_owned(),
        addresses: vec![Addr::Unix(Some(Arc::from(std::path::Path::new(path))))],
    })
}

fn inet(text: &str, options: UrlOptions<'_>) -> Result<Url, &'static str> {
    let (address, uri) = text.split_at(text.find(['/', '?']).unwrap_or(text.len()));
    if !uri.is_empty() && !options.uri_part {
        return Err("invalid host");
    }
    let (host, port) = match address.split_once(':') {
        Some((host, port)) => (host, Some(parse_port(port)?)),
        None => (address, None),
    };
    if host.is_empty() {
        return Err("no host");
    }
    let has_port = port.is_some();
    let port = port.unwrap_or(options.default_port);
    let addresses = match (host.parse::<Ipv4Addr>(), options.lookup) {
        (Ok(address), _) => vec![Addr::Inet((address, port).into())],
        (Err(_), None) => Vec::new(),
        (Err(_), Some(env)) => look_up(env, host, port)?,
    };
    Ok(Url { host: host.to_owned(), port, has_port, uri: uri.to_owned(), addresses })
}

fn inet6(rest: &str, options: UrlOptions<'_>) -> Result<Url, &'static str> {
    let (host, tail) = rest.split_once(']').ok_or("invalid host")?;
    let (port, uri) = tail.split_at(tail.find('/').unwrap_or(tail.len()));
    if !uri.is_empty() && !options.uri_part {
        return Err("invalid host");
    }
    let written = match port.strip_prefix(':') {
        Some(port) => Some(parse_port(port)?),
        None if port.is_empty() => None,
        None => return Err("invalid host"),
    };
    if host.is_empty() {
        return Err("no host");
    }
    let address: Ipv6Addr = host.parse().map_err(|_| "invalid IPv6 address")?;
    let port = written.unwrap_or(options.default_port);
    Ok(Url {
        host: format!("[{host}]"),
        port,
        has_port: written.is_some(),
        uri: uri.to_owned(),
        addresses: vec![Addr::Inet((address, port).into())],
    })
}

fn parse_port(text: &str) -> Result<u16, &'static str> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = if digits { text.parse().unwrap_or(0) } else { 0 };
    if port == 0 { Err("invalid port") } else { Ok(port) }
}

/// What a name stands for, as the system's resolver knows it.
///
/// # Errors
/// `host not found`
pub fn look_up(env: &dyn Environment, host: &str, port: u16) -> Result<Vec<Addr>, &'static str> {
    let addresses = env.lookup(host).map_err(|_| "host not found")?;
    if addresses.is_empty() {
        return Err("host not found");
    }
    let inet = |address: IpAddr| Addr::Inet(SocketAddr::new(address, port));
    Ok(addresses.into_iter().map(inet).collect())
}

#[cfg(test)]
mod tests {
    use weir_conf::environment::Memory;

    use super::*;

    fn parse(text: &str) -> Result<Url, &'static str> {
        let mut env = Memory::default();
        let loopback = ["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        env.hosts.insert("localhost".into(), loopback.to_vec());
        parse_url(text, UrlOptions { default_port: 80, uri_part: true, lookup: Some(&env) })
    }

    fn texts(text: &str) -> String {
        let url = parse(text).unwrap();
        let addresses: Vec<_> = url.addresses.iter().map(ToString::to_string).collect();
        format!("{} {} {}", url.host, addresses.join(","), url.uri)
    }

    #[test]
    fn addresses_of_all_kinds() {
        assert_eq!(texts("127.0.0.1"), "127.0.0.1 127.0.0.1:80 ");
        assert_eq!(texts("127.0.0.1:8080/a:b"), "127.0.0.1 127.0.0.1:8080 /a:b");
        assert_eq!(texts("localhost?x"), "localhost 127.0.0.1:80,[::1]:80 ?x");
        assert_eq!(texts("[::1]:81/"), "[::1] [::1]:81 /");
        assert_eq!(texts("UNIX:/tmp/s:/uri"), "/tmp/s unix:/tmp/s /uri");
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
    }
}
