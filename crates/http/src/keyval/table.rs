//! The pairs of a zone, and how keys match.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use weir_conf::keywords;
use weir_edge::zone::{Memory, node_size, room};
use weir_engine::clock;
use weir_script::cidr::Cidr;

use super::ChangeError;

/// The memory that a pair takes besides its key and value, in bytes.
const PAIR_HEAD: usize = 80;

keywords! {
    /// How keys match records.
    pub(crate) enum Kind {
        /// Equal strings.
        "string" => String,
        /// An address or network within a recorded network; the smallest one wins.
        "ip" => Ip,
        /// A string that begins with a recorded one; the longest one wins.
        "prefix" => Prefix,
    }
}

/// The value of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) value: String,
    /// The time of its expiry in milliseconds since 1970; `u64::MAX` is never.
    pub(crate) until: u64,
}

impl Entry {
    /// Whether it has not expired.
    pub(crate) fn lives(&self, now: u64) -> bool {
        now < self.until
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        [&self.until.to_le_bytes(), self.value.as_bytes()].concat()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (until, value) = bytes.split_first_chunk()?;
        let value = String::from_utf8(value.to_vec()).ok()?;
        Some(Self { value, until: u64::from_le_bytes(*until) })
    }
}

/// A record's place in the index.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Place {
    Text(Box<[u8]>),
    /// An address with the bits behind the prefix cleared, and the length of the prefix.
    Network(IpAddr, u8),
}

#[derive(Debug)]
struct Record {
    /// The key as written.
    key: String,
    entry: Entry,
}

/// The records of a zone.
#[derive(Debug)]
pub(crate) struct Table {
    kind: Kind,
    records: HashMap<Place, Record>,
    /// The number of records by their length: of text in bytes, of networks in bits.
    lengths: BTreeMap<(bool, usize), usize>,
    /// The records that expire, by time.
    expiries: BTreeSet<(u64, Place)>,
    size: u64,
    used: u64,
}

impl Table {
    /// An empty table for a zone of a size.
    pub(crate) fn new(kind: Kind, size: u64) -> Self {
        Self {
            kind,
            records: HashMap::new(),
            lengths: BTreeMap::new(),
            expiries: BTreeSet::new(),
            size: room(size),
            used: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(crate) fn memory(&self) -> Memory {
        Memory { size: self.size, used: self.used }
    }

    /// The place of a recorded key. `None` if it is no network, where it has to be.
    fn place(&self, key: &str) -> Option<Place> {
        match self.kind {
            Kind::Ip => {
                let cidr = Cidr::parse(key.as_bytes())?.cidr;
                Some(Place::Network(cidr.address(), cidr.prefix()))
            }
            Kind::String | Kind::Prefix => Some(Place::Text(key.as_bytes().into())),
        }
    }

    /// The record under exactly this key.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.records.get(&self.place(key)?).map(|record| &record.entry)
    }

    /// The record that matches a key and has not expired.
    pub(crate) fn find(&self, key: &[u8]) -> Option<&Entry> {
        let living = |place: &Place| {
            let entry = &self.records.get(place)?.entry;
            (entry.until == u64::MAX || entry.lives(clock::msec())).then_some(entry)
        };
        match self.kind {
            Kind::String => living(&Place::Text(key.into())),
            Kind::Prefix => {
                let longest = self.lengths.range(..=(false, key.len())).rev();
                let mut prefixes =
                    longest.map(|((_, length), _)| Place::Text(key[..*length].into()));
                prefixes.find_map(|place| living(&place))
            }
            Kind::Ip => {
                let cidr = Cidr::parse(key)?.cidr;
                let is_v6 = cidr.address().is_ipv6();
                let wanted = (is_v6, 0)..=(is_v6, usize::from(cidr.prefix()));
                let mut networks = self.lengths.range(wanted).rev().filter_map(|((_, bits), _)| {
                    let network = cidr.shortened(u8::try_from(*bits).ok()?);
                    Some(Place::Network(network.address(), network.prefix()))
                });
                networks.find_map(|place| living(&place))
            }
        }
    }

    /// Sets a record.
    ///
    /// # Errors
    /// The key is not one of this kind, or there is no memory. Nothing has changed.
    pub(crate) fn insert(&mut self, key: &str, entry: Entry) -> Result<(), ChangeError> {
        let place = self.place(key).ok_or(ChangeError::BadKey)?;
        let before = self.records.get(&place).map_or(0, Record::size);
        let record = Record { key: key.to_owned(), entry };
        let used = self.used - before + record.size();
        if used > self.size {
            return Err(ChangeError::Full);
        }
        self.take(&place);
        if record.entry.until != u64::MAX {
            self.expiries.insert((record.entry.until, place.clone()));
        }
        *self.lengths.entry(place.length()).or_default() += 1;
        self.used = used;
        self.records.insert(place, record);
        Ok(())
    }

    /// Removes a record.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Entry> {
        let place = self.place(key)?;
        self.take(&place).map(|record| record.entry)
    }

    fn take(&mut self, place: &Place) -> Option<Record> {
        let record = self.records.remove(place)?;
        self.used -= record.size();
        self.expiries.remove(&(record.entry.until, place.clone()));
        let length = place.length();
        if let Some(count) = self.lengths.get_mut(&length) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&length);
            }
        }
        Some(record)
    }

    /// The keys of expired records.
    pub(crate) fn expired(&self, now: u64) -> Vec<String> {
        let expired = self.expiries.iter().take_while(|(until, _)| *until <= now);
        let record = |(_, place): &(u64, Place)| self.records.get(place);
        expired.filter_map(record).map(|record| record.key.clone()).collect()
    }

    /// All records that have not expired, in no order.
    pub(crate) fn pairs(&self, now: u64) -> Vec<(String, Entry)> {
        let living = self.records.values().filter(|record| record.entry.lives(now));
        living.map(|record| (record.key.clone(), record.entry.clone())).collect()
    }
}

impl Record {
    fn size(&self) -> u64 {
        node_size(PAIR_HEAD + self.key.len() + self.entry.value.len())
    }
}

impl Place {
    fn length(&self) -> (bool, usize) {
        match self {
            Self::Text(text) => (false, text.len()),
            Self::Network(address, bits) => (address.is_ipv6(), usize::from(*bits)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(kind: Kind, keys: &[&str]) -> Table {
        let mut table = Table::new(kind, 64 << 10);
        for key in keys {
            let entry = Entry { value: format!("of {key}"), until: u64::MAX };
            table.insert(key, entry).unwrap();
        }
        table
    }

    fn found(table: &Table, key: &str) -> Option<String> {
        table.find(key.as_bytes()).map(|entry| entry.value.clone())
    }

    #[test]
    fn the_best_record_is_found() {
        let strings = table(Kind::String, &["a", "ab"]);
        assert_eq!(found(&strings, "ab").as_deref(), Some("of ab"));
        assert_eq!(found(&strings, "abc"), None);
        let prefixes = table(Kind::Prefix, &["a", "abc", ""]);
        for (key, value) in [("abcd", "of abc"), ("abd", "of a"), ("b", "of "), ("", "of ")] {
            assert_eq!(found(&prefixes, key).as_deref(), Some(value), "{key}");
        }
        let networks = table(Kind::Ip, &["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "fd00::/8"]);
        for (key, value) in [
            ("10.1.2.3", Some("of 10.1.2.3")),
            ("10.1.2.4", Some("of 10.1.0.0/16")),
            ("10.1.0.0/16", Some("of 10.1.0.0/16")),
            ("10.1.0.0/15", Some("of 10.0.0.0/8")),
            ("10.200.0.1", Some("of 10.0.0.0/8")),
            ("11.0.0.1", None),
            ("fd00::1", Some("of fd00::/8")),
            ("fe00::1", None),
            ("text", None),
        ] {
            assert_eq!(found(&networks, key).as_deref(), value, "{key}");
        }
        assert_eq!(networks.get("10.1.0.0/16").map(|it| it.value.len()), Some(14));
    }

    #[test]
    fn memory_is_limited_and_given_back() {
        let mut table = Table::new(Kind::String, 32 << 10);
        let entry = || Entry { value: "v".repeat(100), until: u64::MAX };
        let mut count = 0;
        while table.insert(&count.to_string(), entry()).is_ok() {
            count += 1;
        }
        assert!((50..150).contains(&count), "{count}");
        let used = table.memory().used;
        // A value that does not grow has room.
        table.insert("0", entry()).unwrap();
        assert_eq!(table.memory().used, used);
        for key in 0..count {
            assert!(table.remove(&key.to_string()).is_some());
        }
        assert_eq!(table.memory().used, 0);
        assert!(table.lengths.is_empty() && table.is_empty());
    }

    #[test]
    fn keys_of_networks_are_networks() {
        let mut table = Table::new(Kind::Ip, 32 << 10);
        let entry = Entry { value: String::new(), until: u64::MAX };
        assert_eq!(table.insert("a", entry), Err(ChangeError::BadKey));
    }
}
