//! The client address behind trusted proxies, from `X-Forwarded-For`, for `geo` and the realip
//! module.

use std::net::{IpAddr, SocketAddr};

use weir_conf::value::parse_ip_port;

use crate::cidr::Cidr;

/// Whether an address belongs to a trusted proxy.
pub fn is_trusted(address: IpAddr, proxies: &[Cidr]) -> bool {
    proxies.iter().any(|proxy| proxy.contains(address))
}

/// The client address according to a header's values, with the last line first; `None` if the peer
/// is not `trusted` or names no address.
///
/// Without `recursive`, it is the last address of the last line. With it, the walk continues
/// backwards past trusted addresses, to the first untrusted one or as far as addresses can be read.
/// The port is 0 if none is written.
pub fn forwarded_address<'v>(
    trusted: bool,
    lines_from_last: impl IntoIterator<Item = &'v [u8]>,
    proxies: &[Cidr],
    recursive: bool,
) -> Option<SocketAddr> {
    let mut trusted = trusted;
    let mut found = None;
    for line in lines_from_last {
        let mut rest = line;
        loop {
            if !trusted {
                return found;
            }
            let (before, token) = last_token(rest);
            let Some(address) = parse_ip_port(token) else { return found };
            found = Some(address);
            trusted = is_trusted(address.ip(), proxies);
            rest = before;
            if !recursive {
                return found;
            }
            if rest.is_empty() {
                break;
            }
        }
    }
    found
}

/// Splits off the last address of a list; the rest is empty if it was the only one.
fn last_token(line: &[u8]) -> (&[u8], &[u8]) {
    let separator = |byte: &u8| matches!(byte, b' ' | b',');
    let end = line.iter().rposition(|byte| !separator(byte)).map_or(0, |at| at + 1);
    let line = &line[..end];
    match line.iter().rposition(separator) {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (&[], line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(lines: &[&str], recursive: bool) -> Option<String> {
        let proxies: Vec<_> = ["127.0.0.0/8", "10.0.0.0/8"]
            .iter()
            .map(|net| Cidr::parse(net.as_bytes()).unwrap().cidr)
            .collect();
        let lines = lines.iter().rev().map(|line| line.as_bytes());
        forwarded_address(
            is_trusted("127.0.0.1".parse().unwrap(), &proxies),
            lines,
            &proxies,
            recursive,
        )
        .map(|address| address.to_string())
    }

    #[test]
    fn the_chain_is_followed_as_far_as_it_is_trusted() {
        let v4 = |text: &str| Some(format!("{text}:0"));
        assert_eq!(follow(&["1.1.1.1, 10.0.0.1"], false), v4("10.0.0.1"));
        assert_eq!(follow(&["2.2.2.2, 1.1.1.1, 10.0.0.1"], true), v4("1.1.1.1"));
        assert_eq!(follow(&["10.0.0.2"], true), v4("10.0.0.2"));
        assert_eq!(follow(&["3.3.3.3", "10.0.0.2,10.0.0.3 "], true), v4("3.3.3.3"));
        assert_eq!(follow(&["3.3.3.3", "10.0.0.2"], false), v4("10.0.0.2"));
        assert_eq!(follow(&["bad, 10.0.0.3"], true), v4("10.0.0.3"));
        assert_eq!(follow(&["bad"], true), None);
        assert_eq!(follow(&[], true), None);
        assert_eq!(follow(&["1.1.1.1:80"], false), Some("1.1.1.1:80".into()));
        assert_eq!(follow(&["[::1]:443"], false), Some("[::1]:443".into()));
    }
}
