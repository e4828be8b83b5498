//! `geo`: a value by the network of an address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use weir_conf::Fault;

use crate::cidr::Cidr;
use crate::forwarded::{forwarded_address, is_trusted};

mod ranges;
mod trie;

use ranges::{Range, Ranges};
pub use trie::Trie;

/// nginx looks this address up for a value that is no address.
const NO_ADDRESS: Ipv4Addr = Ipv4Addr::BROADCAST;

/// A finished `geo` block.
#[derive(Clone, Debug)]
pub struct Geo {
    table: Lookup,
    values: Vec<Box<[u8]>>,
    proxies: Vec<Cidr>,
    proxy_recursive: bool,
    volatile: bool,
}

/// Values are indices into [`Geo::values`].
#[derive(Clone, Debug)]
enum Lookup {
    Networks { v4: Trie<u32>, v6: Trie<u32> },
    Ranges { ranges: Vec<Range>, default: Option<u32> },
}

impl Geo {
    /// The value for an address; `None` for peers without one, such as unix sockets.
    ///
    /// As in nginx, an address in no network has an empty value.
    pub fn find(&self, address: Option<IpAddr>) -> &[u8] {
        let address = address.map(|address| address.to_canonical());
        let index = match &self.table {
            Lookup::Networks { v4, v6 } => match address {
                Some(IpAddr::V6(address)) => v6.find(u128::from(address)),
                Some(IpAddr::V4(address)) => v4.find(widen(address)),
                None => v4.find(widen(NO_ADDRESS)),
            }
            .copied(),
            Lookup::Ranges { ranges, default } => {
                let address = match address {
                    Some(IpAddr::V4(address)) => address,
                    _ => NO_ADDRESS,
                };
                ranges::find(ranges, u32::from(address)).or(*default)
            }
        };
        index.and_then(|index| self.values.get(index as usize)).map_or(b"", |value| value)
    }

    /// The address to look up if `peer` may be a trusted proxy: applies the block's `proxy` and
    /// `proxy_recursive` to the lines of `X-Forwarded-For`, last line first.
    pub fn client<'v>(
        &self,
        peer: IpAddr,
        lines_from_last: impl IntoIterator<Item = &'v [u8]>,
    ) -> IpAddr {
        if self.proxies.is_empty() {
            return peer;
        }
        let trusted = is_trusted(peer, &self.proxies);
        forwarded_address(trusted, lines_from_last, &self.proxies, self.proxy_recursive)
            .map_or(peer, |address| address.ip())
    }

    /// Whether the block has `proxy` rows, which need [`Geo::client`].
    pub fn has_proxies(&self) -> bool {
        !self.proxies.is_empty()
    }

    /// Whether each use computes the value anew.
    pub fn is_volatile(&self) -> bool {
        self.volatile
    }
}

/// Moves an IPv4 address to the top bits of a trie's key.
fn widen(address: Ipv4Addr) -> u128 {
    u128::from(u32::from(address)) << 96
}

/// Collects the rows of a `geo` block.
#[derive(Debug, Default)]
pub struct GeoBuilder {
    /// `None` until the first network: `ranges` must precede it.
    tries: Option<(Trie<u32>, Trie<u32>)>,
    ranges: Option<Ranges>,
    range_default: Option<u32>,
    values: Vec<Box<[u8]>>,
    /// The index of each value. Values are interned: real tables have millions of rows and few
    /// values.
    known: HashMap<Box<[u8]>, u32>,
    proxies: Vec<Cidr>,
    proxy_recursive: bool,
    volatile: bool,
    /// Whether `proxy` is an ordinary row: stream has no forwarded addresses.
    no_proxies: bool,
}

impl GeoBuilder {
    /// A builder for a block in `stream`.
    pub(crate) fn for_stream() -> Self {
        Self { no_proxies: true, ..Self::default() }
    }

    /// Adds a row, special words included; the parser has resolved `include`.
    ///
    /// # Errors
    /// nginx's wording. Warnings go to `warn`.
    pub fn row(&mut self, words: &[&[u8]], warn: &mut dyn FnMut(String)) -> Result<(), Fault> {
        match words {
            [b"ranges"] if self.tries.is_some() => Err("the \"ranges\" directive must be the \
                 first directive inside \"geo\" block"
                .into()),
            [b"ranges"] => {
                self.ranges.get_or_insert_default();
                Ok(())
            }
            [b"proxy_recursive"] if !self.no_proxies => {
                self.proxy_recursive = true;
                Ok(())
            }
            [b"volatile"] => {
                self.volatile = true;
                Ok(())
            }
            [b"proxy", net] if !self.no_proxies => {
                self.proxies.push(network(net, warn)?);
                Ok(())
            }
            [key, value] if self.ranges.is_some() => self.range_row(key, value, warn),
            [key, value] => self.network_row(key, value, warn),
            _ => Err("invalid number of the geo parameters".into()),
        }
    }

    /// The finished table.
    pub fn build(self) -> Geo {
        let table = match self.ranges {
            Some(ranges) => {
                Lookup::Ranges { ranges: ranges.flatten(), default: self.range_default }
            }
            None => {
                let (v4, v6) = self.tries.unwrap_or_default();
                Lookup::Networks { v4, v6 }
            }
        };
        Geo {
            table,
            values: self.values,
            proxies: self.proxies,
            proxy_recursive: self.proxy_recursive,
            volatile: self.volatile,
        }
    }

    fn range_row(
        &mut self,
        key: &[u8],
        value: &[u8],
        warn: &mut dyn FnMut(String),
    ) -> Result<(), Fault> {
        if key == b"default" {
            if let Some(old) = self.range_default {
                let (value, old) = (text(value), text(self.value(old)));
                warn(format!(
                    "duplicate default geo range value: \"{value}\", old value: \"{old}\""
                ));
            }
            self.range_default = Some(self.intern(value));
            return Ok(());
        }
        let delete = key == b"delete";
        let net = if delete { value } else { key };
        let (start, end) = ranges::parse(net)
            .ok_or_else(|| Fault::new(format!("invalid range \"{}\"", text(net))))?;
        let mut ranges = self.ranges.take().unwrap_or_default();
        let result = if delete {
            if !ranges.delete(start, end) {
                warn(format!("no address range \"{}\" to delete", text(net)));
            }
            Ok(())
        } else {
            let index = self.intern(value);
            let added = ranges.add(start, end, index, &mut |old| {
                let (net, value, old) = (text(net), text(value), text(self.value(old)));
                warn(format!(
                    "duplicate range \"{net}\", value: \"{value}\", old value: \"{old}\""
                ));
            });
            added.map_err(|other| {
                Fault::new(format!("range \"{}\" overlaps \"{other}\"", text(net)))
            })
        };
        self.ranges = Some(ranges);
        result
    }

    fn network_row(
        &mut self,
        key: &[u8],
        value: &[u8],
        warn: &mut dyn FnMut(String),
    ) -> Result<(), Fault> {
        self.tries.get_or_insert_default();
        if key == b"default" {
            for address in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()] {
                self.insert(address, 0, value, key, warn);
            }
            return Ok(());
        }
        let delete = key == b"delete";
        let net = if delete { value } else { key };
        let cidr = network(net, warn)?;
        if delete {
            let Some((v4, v6)) = &mut self.tries else { return Ok(()) };
            let deleted = match cidr.address() {
                IpAddr::V4(address) => v4.remove(widen(address), cidr.prefix()),
                IpAddr::V6(address) => v6.remove(address.into(), cidr.prefix()),
            };
            if !deleted {
                warn(format!("no network \"{}\" to delete", text(net)));
            }
            return Ok(());
        }
        self.insert(cidr.address(), cidr.prefix(), value, net, warn);
        Ok(())
    }

    fn insert(
        &mut self,
        address: IpAddr,
        prefix: u8,
        value: &[u8],
        net: &[u8],
        warn: &mut dyn FnMut(String),
    ) {
        let index = self.intern(value);
        let (v4, v6) = self.tries.get_or_insert_default();
        let (trie, key) = match address {
            IpAddr::V4(address) => (v4, widen(address)),
            IpAddr::V6(address) => (v6, address.into()),
        };
        // nginx shows the value found for the address, which may be a narrower network's.
        let shown = trie.find(key).copied();
        if trie.insert(key, prefix, index).is_some() {
            let old = shown.map_or(&b""[..], |old| self.value(old));
            let (net, value, old) = (text(net), text(value), text(old));
            warn(format!("duplicate network \"{net}\", value: \"{value}\", old value: \"{old}\""));
        }
    }

    fn intern(&mut self, value: &[u8]) -> u32 {
        if let Some(index) = self.known.get(value) {
            return *index;
        }
        let index = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        self.values.push(value.into());
        self.known.insert(value.into(), index);
        index
    }

    fn value(&self, index: u32) -> &[u8] {
        self.values.get(index as usize).map_or(b"", |value| value)
    }
}

fn network(net: &[u8], warn: &mut dyn FnMut(String)) -> Result<Cidr, Fault> {
    if net == b"255.255.255.255" {
        return Ok(Cidr::single(NO_ADDRESS.into()));
    }
    let invalid = || Fault::new(format!("invalid network \"{}\"", text(net)));
    let parsed = Cidr::parse(net).ok_or_else(invalid)?;
    if parsed.low_bits {
        warn(format!("low address bits of {} are meaningless", text(net)));
    }
    Ok(parsed.cidr)
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests;
