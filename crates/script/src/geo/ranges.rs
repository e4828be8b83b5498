//! Ranges of IPv4 addresses, with nginx's rules for overlaps.
//!
//! nginx keeps a list per /16 network and applies its rules within each list, so a range across a
//! boundary is split. A range may replace, split or trim an older range that contains it; it may
//! not cross an older range's edge.

use std::collections::BTreeMap;
use std::fmt;

use weir_conf::value::parse_ipv4;

/// A range of addresses, bounds included, with the index of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    start: u32,
    end: u32,
    value: u32,
}

/// The value of the range that contains an address, in a sorted list without overlaps.
pub(super) fn find(ranges: &[Range], address: u32) -> Option<u32> {
    let at = ranges.partition_point(|range| range.end < address);
    ranges.get(at).filter(|range| range.start <= address).map(|range| range.value)
}

/// Parses `first-last`.
pub(super) fn parse(text: &[u8]) -> Option<(u32, u32)> {
    let dash = memchr::memchr(b'-', text)?;
    let start = u32::from(parse_ipv4(&text[..dash])?);
    let end = u32::from(parse_ipv4(&text[dash + 1..])?);
    (start <= end).then_some((start, end))
}

/// A set of ranges under construction: a sorted list per upper half of the address.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    high: BTreeMap<u32, Vec<Range>>,
}

impl Ranges {
    /// Adds a range; `replaced` gets the old value of each part that is replaced whole.
    ///
    /// # Errors
    /// The new range crosses the edge of an older one.
    pub(super) fn add(
        &mut self,
        start: u32,
        end: u32,
        value: u32,
        replaced: &mut dyn FnMut(u32),
    ) -> Result<(), Crossed> {
        for part in parts(start, end, value) {
            let list = self.high.entry(part.start >> 16).or_default();
            add_part(list, part, replaced)?;
        }
        Ok(())
    }

    /// Deletes a range with exactly these bounds. False if a part of it was missing.
    pub(super) fn delete(&mut self, start: u32, end: u32) -> bool {
        let mut complete = true;
        for part in parts(start, end, 0) {
            let list = self.high.entry(part.start >> 16).or_default();
            match list.iter().position(|old| (old.start, old.end) == (part.start, part.end)) {
                Some(at) => drop(list.remove(at)),
                None => complete = false,
            }
        }
        complete
    }

    /// All ranges in order.
    pub(super) fn flatten(self) -> Vec<Range> {
        self.high.into_values().flatten().collect()
    }
}

/// Splits a range at the boundaries of /16 networks.
fn parts(start: u32, end: u32, value: u32) -> impl Iterator<Item = Range> {
    (start >> 16..=end >> 16).map(move |high| Range {
        start: start.max(high << 16),
        end: end.min(high << 16 | 0xffff),
        value,
    })
}

fn add_part(
    list: &mut Vec<Range>,
    new: Range,
    replaced: &mut dyn FnMut(u32),
) -> Result<(), Crossed> {
    // The last range that does not begin after the new one ends. The search starts at the end since
    // tables are mostly sorted.
    let Some(at) = list.iter().rposition(|old| new.end >= old.start) else {
        list.insert(0, new);
        return Ok(());
    };
    let old = list[at];
    if new.start > old.end {
        list.insert(at + 1, new);
        return Ok(());
    }
    if new.start < old.start || new.end > old.end {
        return Err(Crossed(old));
    }
    if (new.start, new.end) == (old.start, old.end) {
        replaced(old.value);
        list[at] = new;
        return Ok(());
    }
    let before = (old.start < new.start).then(|| Range { end: new.start - 1, ..old });
    let behind = (new.end < old.end).then(|| Range { start: new.end + 1, ..old });
    list.splice(at..=at, before.into_iter().chain([new]).chain(behind));
    Ok(())
}

/// The older range whose edge a new one crosses.
#[derive(Debug)]
pub(super) struct Crossed(Range);

impl fmt::Display for Crossed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = std::net::Ipv4Addr::from;
        write!(f, "{}-{}", address(self.0.start), address(self.0.end))
    }
}
