//! The TLVs of version 2, under their names in `$proxy_protocol_tlv_`.

use super::ProxyHeader;

/// A TLV that exceeds the header, or an SSL TLV that is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenTlv;

/// The name of a TLV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlvName {
    /// A TLV of the header, by type.
    Top(u32),
    /// A TLV inside the SSL TLV, by type.
    Ssl(u32),
    /// The result of verifying the client's certificate, as a number.
    SslVerify,
}

pub(super) const SSL: u8 = 0x20;
pub(super) const CRC32C: u8 = 0x03;
const SSL_FIXED: usize = 5;

const TOP: &[(&str, u32)] =
    &[("alpn", 0x01), ("authority", 0x02), ("unique_id", 0x05), ("ssl", 0x20), ("netns", 0x30)];

const IN_SSL: &[(&str, u32)] =
    &[("version", 0x21), ("cn", 0x22), ("cipher", 0x23), ("sig_alg", 0x24), ("key_alg", 0x25)];

impl TlvName {
    /// Parses `alpn`, `ssl_cn`, `0xEA`, `ssl_0x21`, …
    pub fn parse(name: &str) -> Option<Self> {
        let (name, table, wrap): (_, _, fn(u32) -> Self) = match name.strip_prefix("ssl_") {
            Some("verify") => return Some(Self::SslVerify),
            Some(rest) => (rest, IN_SSL, Self::Ssl),
            None => (name, TOP, Self::Top),
        };
        if let Some(digits) = name.strip_prefix("0x") {
            let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
            return u32::from_str_radix(digits, 16).ok().filter(|_| hex).map(wrap);
        }
        table.iter().find(|row| row.0 == name).map(|row| wrap(row.1))
    }
}

impl ProxyHeader {
    /// Appends the value of a TLV to `out`; `false` if there is none.
    pub fn tlv(&self, name: TlvName, out: &mut Vec<u8>) -> Result<bool, BrokenTlv> {
        let kind = match name {
            TlvName::Top(kind) => {
                let value = find(&self.tlvs, kind)?;
                out.extend_from_slice(value.unwrap_or_default());
                return Ok(value.is_some());
            }
            TlvName::Ssl(kind) => Some(kind),
            TlvName::SslVerify => None,
        };
        let Some(ssl) = find(&self.tlvs, u32::from(SSL))? else { return Ok(false) };
        let Some((fixed, rest)) = ssl.split_first_chunk::<SSL_FIXED>() else {
            return Err(BrokenTlv);
        };
        let value = match kind {
            Some(kind) => find(rest, kind)?,
            None => {
                let verify = u32::from_be_bytes([fixed[1], fixed[2], fixed[3], fixed[4]]);
                out.extend_from_slice(verify.to_string().as_bytes());
                return Ok(true);
            }
        };
        out.extend_from_slice(value.unwrap_or_default());
        Ok(value.is_some())
    }
}

fn find(mut tlvs: &[u8], kind: u32) -> Result<Option<&[u8]>, BrokenTlv> {
    while !tlvs.is_empty() {
        let (&[found, high, low], rest) = tlvs.split_first_chunk::<3>().ok_or(BrokenTlv)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, rest) = rest.split_at_checked(length).ok_or(BrokenTlv)?;
        if u32::from(found) == kind {
            return Ok(Some(value));
        }
        tlvs = rest;
    }
    Ok(None)
}
