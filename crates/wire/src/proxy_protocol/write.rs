//! Writers of headers to upstream servers.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use super::SIGNATURE;
use super::tlv::{CRC32C, SSL};

/// Appends a header of version 1. `from`: the client; `to`: the address it connected to. `UNKNOWN`
/// if the client has no IP address.
pub fn write_v1(from: Option<SocketAddr>, to: Option<SocketAddr>, out: &mut Vec<u8>) {
    let (Some(from), Some(to)) = (from, to) else {
        return out.extend_from_slice(b"PROXY UNKNOWN\r\n");
    };
    let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from_ip, to_ip) = (from.ip(), to.ip());
    // Writing to a vector cannot fail.
    let _ = write!(out, "PROXY {family} {from_ip} {to_ip} {} {}\r\n", from.port(), to.port());
}

/// The SSL TLV: a client's TLS connection.
#[derive(Clone, Copy, Debug)]
pub struct Ssl<'a> {
    /// Bits: 1 the connection uses TLS, 2 it brought a certificate, 4 its session did.
    pub client: u8,
    /// 0 if the certificate was verified.
    pub verify: u32,
    /// The TLVs inside: 0x21 version, 0x22 common name, 0x23 cipher, 0x24 signature, 0x25 key.
    pub fields: &'a [(u8, &'a [u8])],
}

/// Appends a header of version 2 with a final CRC-32C TLV, as nginx writes it. Without addresses it
/// is a LOCAL one. Mixed families are written as IPv6, two mapped IPv4 addresses as IPv4. A value
/// that exceeds its TLV is omitted.
pub fn write_v2(
    from: Option<SocketAddr>,
    to: Option<SocketAddr>,
    stream: bool,
    tlvs: &[(u8, &[u8])],
    ssl: Option<&Ssl<'_>>,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.extend_from_slice(SIGNATURE);
    match from.zip(to) {
        Some((from, to)) => write_addresses(from, to, if stream { 1 } else { 2 }, out),
        None => out.extend([0x20, 0, 0, 0]),
    }
    for (kind, value) in tlvs {
        write_tlv(*kind, value, out);
    }
    if let Some(ssl) = ssl {
        let mut value = vec![ssl.client];
        value.extend(ssl.verify.to_be_bytes());
        for (kind, field) in ssl.fields {
            write_tlv(*kind, field, &mut value);
        }
        write_tlv(SSL, &value, out);
    }
    write_tlv(CRC32C, &[0; 4], out);
    let length = u16::try_from(out.len() - start - 16).unwrap_or(u16::MAX);
    out[start + 14..start + 16].copy_from_slice(&length.to_be_bytes());
    let sum = crc32c(&out[start..]);
    let end = out.len();
    out[end - 4..].copy_from_slice(&sum.to_be_bytes());
}

/// The limit of a TLV's value: several of them and the addresses still fit the header's length.
const VALUE_MAX: usize = 8 * 1024;

fn write_tlv(kind: u8, value: &[u8], out: &mut Vec<u8>) {
    if value.len() <= VALUE_MAX {
        out.push(kind);
        out.extend((value.len() as u16).to_be_bytes());
        out.extend_from_slice(value);
    }
}

fn write_addresses(from: SocketAddr, to: SocketAddr, transport: u8, out: &mut Vec<u8>) {
    let mapped = |ip: IpAddr| match ip {
        IpAddr::V6(ip) => ip.to_ipv4_mapped(),
        IpAddr::V4(_) => None,
    };
    let as_v4 = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Some((from, to)),
        (from, to) => mapped(from).zip(mapped(to)),
    };
    let family = if as_v4.is_some() { 1 } else { 2 };
    out.extend([0x21, family << 4 | transport, 0, 0]);
    let as_v6 = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    match as_v4 {
        Some((from, to)) => {
            out.extend(from.octets());
            out.extend(to.octets());
        }
        None => {
            out.extend(as_v6(from.ip()));
            out.extend(as_v6(to.ip()));
        }
    }
    out.extend(from.port().to_be_bytes());
    out.extend(to.port().to_be_bytes());
}

/// CRC-32C (Castagnoli), bit by bit: a header is short and written once per connection.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1() {
        let run = |from: &str, to: &str| {
            let mut out = Vec::new();
            write_v1(from.parse().ok(), to.parse().ok(), &mut out);
            String::from_utf8(out).expect("ASCII")
        };
        assert_eq!(run("1.2.3.4:5", "6.7.8.9:80"), "PROXY TCP4 1.2.3.4 6.7.8.9 5 80\r\n");
        assert_eq!(run("[::1]:5", "[::2]:80"), "PROXY TCP6 ::1 ::2 5 80\r\n");
        assert_eq!(run("unix:", ""), "PROXY UNKNOWN\r\n");
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        let mut out = Vec::new();
        let from = "[::ffff:1.2.3.4]:5".parse().ok();
        write_v2(from, "[::ffff:6.7.8.9]:80".parse().ok(), true, &[], None, &mut out);
        assert_eq!(&out[12..28], &[0x21, 0x11, 0, 19, 1, 2, 3, 4, 6, 7, 8, 9, 0, 5, 0, 80]);
    }

    #[test]
    fn checksum() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
