//! IP addresses in directives and header fields. `weir_engine::url` parses the addresses of
//! listeners and servers, which may be names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::parse_number;

/// Parses an address as `ngx_parse_addr` does: [`parse_ipv4`], else IPv6 without brackets.
pub fn parse_ip(text: &[u8]) -> Option<IpAddr> {
    if let Some(v4) = parse_ipv4(text) {
        return Some(v4.into());
    }
    let text = std::str::from_utf8(text).ok()?;
    text.parse::<Ipv6Addr>().ok().map(IpAddr::from)
}

/// Parses four decimal octets as `ngx_inet_addr` does: each may have leading zeros or be empty.
/// `255.255.255.255` is refused.
pub fn parse_ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut address = 0u32;
    let mut dots = 0;
    let mut octet = 0u32;
    for &byte in text {
        match byte {
            b'0'..=b'9' => {
                octet = octet * 10 + u32::from(byte - b'0');
                if octet > 255 {
                    return None;
                }
            }
            b'.' => {
                address = address << 8 | octet;
                octet = 0;
                dots += 1;
            }
            _ => return None,
        }
    }
    let address = address << 8 | octet;
    (dots == 3 && address != u32::MAX).then(|| Ipv4Addr::from(address))
}

/// Parses `address`, `address:port` or `[address]:port` as `ngx_parse_addr_port` does. The
/// port is 0 if none is written.
pub fn parse_ip_port(text: &[u8]) -> Option<SocketAddr> {
    if let Some(address) = parse_ip(text) {
        return Some(SocketAddr::new(address, 0));
    }
    let (address, port) = if let Some(rest) = text.strip_prefix(b"[") {
        let close = memchr::memchr(b']', rest)?;
        let address = parse_ip(&rest[..close])?;
        match &rest[close + 1..] {
            b"" => return Some(SocketAddr::new(address, 0)),
            tail => (address, tail.strip_prefix(b":")?),
        }
    } else {
        let colon = memchr::memchr(b':', text)?;
        (parse_ipv4(&text[..colon])?.into(), &text[colon + 1..])
    };
    parse_port(port).map(|port| SocketAddr::new(address, port))
}

/// Parses a port, 1 to 65535.
pub fn parse_port(text: &[u8]) -> Option<u16> {
    let port = u16::try_from(parse_number(text)?).ok()?;
    (port > 0).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_nginx_reads_them() {
        let read = |text: &str| parse_ip(text.as_bytes()).map(|address| address.to_string());
        assert_eq!(read("127.0.0.1").as_deref(), Some("127.0.0.1"));
        assert_eq!(read("010.1..2").as_deref(), Some("10.1.0.2"));
        assert_eq!(read("2001:db8::1").as_deref(), Some("2001:db8::1"));
        for bad in ["", "1.2.3", "1.2.3.4.5", "1.2.3.256", "255.255.255.255", "[::1]", "a"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn ports_follow_addresses() {
        let read = |text: &str| parse_ip_port(text.as_bytes()).map(|address| address.to_string());
        assert_eq!(read("1.2.3.4:80").as_deref(), Some("1.2.3.4:80"));
        assert_eq!(read("[::1]:80").as_deref(), Some("[::1]:80"));
        assert_eq!(read("[::1]").as_deref(), Some("[::1]:0"));
        assert_eq!(read("::1").as_deref(), Some("[::1]:0"));
        for bad in ["1.2.3.4:", "1.2.3.4:0", "1.2.3.4:65536", "1.2.3.4:+1", "[::1]80", "[::1]:"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
