//! Networks in nginx's notation: `10.0.0.0/8`, `::1`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use weir_conf::value::parse_ip;

/// A network: its lowest address and its prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    /// Bits beyond the prefix are zero.
    address: IpAddr,
    prefix: u8,
}

/// A parsed network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The network.
    pub cidr: Cidr,
    /// Whether bits beyond the prefix were set, which nginx warns about.
    pub low_bits: bool,
}

impl Cidr {
    /// Parses an address with or without a prefix length.
    pub fn parse(text: &[u8]) -> Option<Parsed> {
        let (address, length) = match memchr::memchr(b'/', text) {
            Some(slash) => (&text[..slash], Some(&text[slash + 1..])),
            None => (text, None),
        };
        let address = parse_ip(address)?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match length {
            None => widest,
            Some(digits) => number(digits).filter(|&bits| bits <= widest)?,
        };
        let cidr = Self { address: mask(address, prefix), prefix };
        Some(Parsed { cidr, low_bits: cidr.address != address })
    }

    /// A network of one address.
    pub fn single(address: IpAddr) -> Self {
        Self { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// The network around this one with a shorter prefix; this one if it is no longer.
    #[must_use]
    pub fn shortened(&self, prefix: u8) -> Self {
        let prefix = prefix.min(self.prefix);
        Self { address: mask(self.address, prefix), prefix }
    }

    /// The network's lowest address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The prefix length in bits.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether the network contains an address; an IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && mask(address, self.prefix) == self.address
    }
}

fn mask(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let bits = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            Ipv4Addr::from(u32::from(v4) & bits).into()
        }
        IpAddr::V6(v6) => {
            let bits = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            Ipv6Addr::from(u128::from(v6) & bits).into()
        }
    }
}

fn number(digits: &[u8]) -> Option<u8> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    digits.iter().try_fold(0u8, |n, digit| n.checked_mul(10)?.checked_add(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<(String, u8, bool)> {
        let parsed = Cidr::parse(text.as_bytes())?;
        Some((parsed.cidr.address.to_string(), parsed.cidr.prefix, parsed.low_bits))
    }

    #[test]
    fn networks() {
        assert_eq!(parse("10.1.2.3/8"), Some(("10.0.0.0".into(), 8, true)));
        assert_eq!(parse("0.0.0.0/0"), Some(("0.0.0.0".into(), 0, false)));
        assert_eq!(parse("127.0.0.1"), Some(("127.0.0.1".into(), 32, false)));
        assert_eq!(parse("2001:db8::1/32"), Some(("2001:db8::".into(), 32, true)));
        assert_eq!(parse("::/0"), Some(("::".into(), 0, false)));
        for bad in ["", "1.2.3", "1.2.3.4/33", "1.2.3.4/", "::1/129", "::1/x", "a", "1.2.3.256"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        let cidr = Cidr::parse(b"10.0.0.0/8").unwrap().cidr;
        assert!(cidr.contains("10.9.9.9".parse().unwrap()));
        assert!(cidr.contains("::ffff:10.9.9.9".parse().unwrap()));
        assert!(!cidr.contains("11.0.0.0".parse().unwrap()));
        assert!(!cidr.contains("::a".parse().unwrap()));
    }
}
