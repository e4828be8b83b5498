//! The PROXY protocol, versions 1 and 2: the client address of a forwarded connection.
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

mod tlv;
mod write;

pub use tlv::{BrokenTlv, TlvName};
pub use write::{Ssl, write_v1, write_v2};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The limit of a header, as in nginx.
pub const HEADER_MAX: usize = 4096;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;

/// A parsed header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyHeader {
    /// The client's address: in version 1 the text as sent, which need not be an address.
    pub source: String,
    /// The client's port.
    pub source_port: u16,
    /// The address that the client connected to.
    pub destination: String,
    /// The port that the client connected to.
    pub destination_port: u16,
    /// The unparsed TLVs of version 2.
    tlvs: Vec<u8>,
}

/// A result of [`parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The bytes so far may become a header.
    NeedMore,
    /// A header of `consumed` bytes. It has no addresses if the sender speaks for itself (LOCAL),
    /// does not know them (UNKNOWN), or names a family or transport other than TCP over IP.
    Header {
        /// The length of the header in bytes.
        consumed: usize,
        /// The addresses.
        header: Option<Box<ProxyHeader>>,
    },
}

/// A connection without a valid header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyError {
    /// Neither version; has the first line as text.
    Broken(String),
    /// The signature of version 2 with another version number.
    Version(u8),
    /// A header over [`HEADER_MAX`].
    TooLarge,
    /// A header too short for its address family.
    Short,
}

impl std::fmt::Display for ProxyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Broken(line) => write!(f, "broken header: \"{line}\""),
            Self::Version(version) => write!(f, "unknown PROXY protocol version: {version}"),
            Self::TooLarge => f.write_str("header is too large"),
            Self::Short => f.write_str("header is too short"),
        }
    }
}

/// Parses the header at the start of `buf`.
pub fn parse(buf: &[u8]) -> Result<Parsed, ProxyError> {
    let common = buf.len().min(SIGNATURE.len());
    if buf[..common] == SIGNATURE[..common] {
        return if buf.len() < V2_FIXED { Ok(Parsed::NeedMore) } else { parse_v2(buf) };
    }
    let common = buf.len().min(6);
    if buf[..common] != b"PROXY "[..common] {
        return Err(broken(buf));
    }
    let seen = &buf[..buf.len().min(HEADER_MAX)];
    let Some(lf) = memchr::memchr(b'\n', seen) else {
        return if buf.len() < HEADER_MAX { Ok(Parsed::NeedMore) } else { Err(broken(buf)) };
    };
    let line = seen[..lf].strip_suffix(b"\r").ok_or_else(|| broken(buf))?;
    let line = line.get(6..).unwrap_or_default();
    let header = if line.starts_with(b"UNKNOWN") {
        None
    } else {
        Some(Box::new(parse_v1(line).ok_or_else(|| broken(buf))?))
    };
    Ok(Parsed::Header { consumed: lf + 1, header })
}

fn broken(buf: &[u8]) -> ProxyError {
    let end = buf.iter().position(|&b| b == b'\r' || b == b'\n').unwrap_or(buf.len());
    ProxyError::Broken(String::from_utf8_lossy(&buf[..end.min(HEADER_MAX)]).into_owned())
}

/// Parses `TCP4 source destination port port`.
fn parse_v1(line: &[u8]) -> Option<ProxyHeader> {
    let line = line.strip_prefix(b"TCP4 ").or_else(|| line.strip_prefix(b"TCP6 "))?;
    let mut words = line.split(|&b| b == b' ');
    let mut address = || {
        let word = words.next()?;
        let valid = word.iter().all(|b| b.is_ascii_hexdigit() || *b == b':' || *b == b'.');
        std::str::from_utf8(word).ok().filter(|_| valid).map(str::to_owned)
    };
    let (source, destination) = (address()?, address()?);
    let mut port = || {
        let word = std::str::from_utf8(words.next()?).ok()?;
        let digits = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
        word.parse().ok().filter(|_| digits)
    };
    let (source_port, destination_port) = (port()?, port()?);
    words.next().is_none().then_some(ProxyHeader {
        source,
        source_port,
        destination,
        destination_port,
        tlvs: Vec::new(),
    })
}

fn parse_v2(buf: &[u8]) -> Result<Parsed, ProxyError> {
    let (version, command) = (buf[12] >> 4, buf[12] & 15);
    if version != 2 {
        return Err(ProxyError::Version(version));
    }
    let end = V2_FIXED + usize::from(u16::from_be_bytes([buf[14], buf[15]]));
    if end > HEADER_MAX {
        return Err(ProxyError::TooLarge);
    }
    let Some(body) = buf.get(V2_FIXED..end) else { return Ok(Parsed::NeedMore) };
    let (family, transport) = (buf[13] >> 4, buf[13] & 15);
    let header = match (command, transport, family) {
        (1, 1, 1) => Some(addresses::<4>(body, |b| Ipv4Addr::from(b).into())?),
        (1, 1, 2) => Some(addresses::<16>(body, |b| Ipv6Addr::from(b).into())?),
        _ => None,
    };
    Ok(Parsed::Header { consumed: end, header })
}

/// Parses source, destination, source port, destination port, TLVs.
fn addresses<const N: usize>(
    body: &[u8],
    address: impl Fn([u8; N]) -> IpAddr,
) -> Result<Box<ProxyHeader>, ProxyError> {
    let short = ProxyError::Short;
    let Some((source, rest)) = body.split_first_chunk::<N>() else { return Err(short) };
    let Some((destination, rest)) = rest.split_first_chunk::<N>() else { return Err(short) };
    let Some((ports, tlvs)) = rest.split_first_chunk::<4>() else { return Err(short) };
    Ok(Box::new(ProxyHeader {
        source: address(*source).to_string(),
        source_port: u16::from_be_bytes([ports[0], ports[1]]),
        destination: address(*destination).to_string(),
        destination_port: u16::from_be_bytes([ports[2], ports[3]]),
        tlvs: tlvs.to_vec(),
    }))
}

/// Entry point of a fuzz target: the parser must not panic, and a header must not depend on the
/// bytes after it.
pub fn fuzz(data: &[u8]) {
    if let Ok(Parsed::Header { consumed, header }) = parse(data) {
        assert_eq!(
            parse(&data[..consumed]),
            Ok(Parsed::Header { consumed, header: header.clone() })
        );
        for name in ["alpn", "ssl_cn", "ssl_verify", "0x30"] {
            let (Some(name), Some(header)) = (TlvName::parse(name), &header) else { continue };
            let _ = header.tlv(name, &mut Vec::new());
        }
        for cut in 0..consumed {
            assert_eq!(parse(&data[..cut]), Ok(Parsed::NeedMore));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(buf: &[u8]) -> Option<(usize, Option<Box<ProxyHeader>>)> {
        fuzz(buf);
        match parse(buf).ok()? {
            Parsed::Header { consumed, header } => Some((consumed, header)),
            Parsed::NeedMore => None,
        }
    }

    #[test]
    fn version_1() {
        let text = b"PROXY TCP4 1.2.3.4 5.6.7.8 1234 80\r\nGET";
        let (consumed, found) = header(text).expect("a header");
        let found = found.expect("addresses");
        assert_eq!((consumed, found.source.as_str(), found.source_port), (36, "1.2.3.4", 1234));
        assert_eq!((found.destination.as_str(), found.destination_port), ("5.6.7.8", 80));
        assert_eq!(header(b"PROXY UNKNOWN what ever\r\n"), Some((25, None)));
        assert_eq!(parse(b""), Ok(Parsed::NeedMore));
        assert_eq!(parse(b"PROXY TCP4 1.2"), Ok(Parsed::NeedMore));
        for bad in [
            &b"GET / HTTP/1.0\r\n"[..],
            b"PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
            b"PROXY TCP4 1.2.3.g 5.6.7.8 1 2\r\n",
            b"PROXY TCP4 1.2.3.4\r\n",
        ] {
            assert!(matches!(parse(bad), Err(ProxyError::Broken(_))));
        }
    }

    #[test]
    fn version_2() {
        let mut out = Vec::new();
        let from = "[2001:db8::1]:1000".parse().ok();
        let to = "[::1]:443".parse().ok();
        let ssl = Ssl { client: 1, verify: 7, fields: &[(0x22, b"cn")] };
        write_v2(from, to, true, &[(1, b"h2")], Some(&ssl), &mut out);
        let length = out.len();
        out.extend_from_slice(b"GET /");
        let (consumed, found) = header(&out).expect("a header");
        let found = found.expect("addresses");
        assert_eq!(
            (consumed, found.source.as_str(), found.source_port),
            (length, "2001:db8::1", 1000)
        );
        for (name, value) in [("alpn", "h2"), ("ssl_cn", "cn"), ("ssl_verify", "7"), ("0x01", "h2")]
        {
            let mut text = Vec::new();
            let name = TlvName::parse(name).expect("a name");
            assert_eq!(found.tlv(name, &mut text), Ok(true));
            assert_eq!(text, value.as_bytes());
        }
        assert_eq!(found.tlv(TlvName::parse("netns").expect("a name"), &mut Vec::new()), Ok(false));
        assert_eq!(TlvName::parse("nothing"), None);
    }

    #[test]
    fn version_2_without_addresses() {
        let mut out = Vec::new();
        write_v2(None, None, true, &[], None, &mut out);
        assert_eq!(header(&out), Some((out.len(), None)));
        out[12] = 0x31;
        assert_eq!(parse(&out), Err(ProxyError::Version(3)));
        out[12] = 0x21;
        out[13] = 0x11;
        assert_eq!(parse(&out), Err(ProxyError::Short));
        out[14] = 0xff;
        assert_eq!(parse(&out), Err(ProxyError::TooLarge));
    }
}
