//! Sizes in bytes with `k`, `m` and `g`.

use super::{Value, parse_number};
use crate::cx::Cx;
use crate::diagnostic::Fault;
use crate::node::Node;
use crate::table::arity::Arity;

/// The size of a buffer or a zone: a number with `k` or `m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

/// The size of a file or a body, or a rate: a number with `k`, `m` or `g`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

/// A number of buffers of one size, as in `4 32k`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bufs {
    /// The number of buffers.
    pub count: u64,
    /// The size of each in bytes.
    pub size: u64,
}

fn scaled(text: &[u8], units: &[(u8, u64)]) -> Option<u64> {
    let last = text.last()?.to_ascii_lowercase();
    let unit = units.iter().find(|(unit, _)| *unit == last);
    let (digits, scale) = unit.map_or((text, 1), |&(_, scale)| (&text[..text.len() - 1], scale));
    let number = parse_number(digits)?;
    number.checked_mul(scale).filter(|&bytes| bytes <= i64::MAX as u64)
}

/// Parses a size, as `ngx_parse_size`.
pub fn parse_size(text: &[u8]) -> Option<u64> {
    scaled(text, &[(b'k', 1 << 10), (b'm', 1 << 20)])
}

/// Parses a size, as `ngx_parse_offset`.
pub fn parse_offset(text: &[u8]) -> Option<u64> {
    scaled(text, &[(b'k', 1 << 10), (b'm', 1 << 20), (b'g', 1 << 30)])
}

fn shown(bytes: u64, giga: bool) -> String {
    for (unit, scale) in [("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10)] {
        if bytes >= scale && bytes.is_multiple_of(scale) && (giga || unit != "g") {
            return format!("{}{unit}", bytes / scale);
        }
    }
    bytes.to_string()
}

macro_rules! sizes {
    ($($T:ident, $parse:ident, $giga:literal;)*) => {$(
        impl $T {
            /// A number of bytes.
            pub const fn bytes(number: u64) -> Self {
                Self(number)
            }

            /// A number of kilobytes.
            pub const fn k(number: u64) -> Self {
                Self(number << 10)
            }

            /// A number of megabytes.
            pub const fn m(number: u64) -> Self {
                Self(number << 20)
            }
        }

        impl Value for $T {
            const SYNTAX: &'static str = "size";
            const ARITY: Arity = Arity::ONE;

            fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
                let word = &node.args[0];
                $parse(&word.value).map(Self).ok_or_else(|| Fault::bad_value().at(word))
            }

            fn show(&self) -> Option<String> {
                Some(shown(self.0, $giga))
            }
        }
    )*};
}

sizes! {
    Size, parse_size, false;
    Offset, parse_offset, true;
}

impl Bufs {
    /// `count` buffers of `size` bytes.
    pub const fn new(count: u64, size: u64) -> Self {
        Self { count, size }
    }

    /// The size of all buffers in bytes.
    pub const fn total(self) -> u64 {
        self.count.saturating_mul(self.size)
    }
}

impl Value for Bufs {
    const SYNTAX: &'static str = "number size";
    const ARITY: Arity = Arity::exactly(2);

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let count = parse_number(&node.args[0].value).filter(|&count| count > 0);
        let count = count.ok_or_else(|| Fault::bad_value().at(&node.args[0]))?;
        let size = parse_size(&node.args[1].value).filter(|&size| size > 0);
        let size = size.ok_or_else(|| Fault::bad_value().at(&node.args[1]))?;
        Ok(Self { count, size })
    }

    fn show(&self) -> Option<String> {
        Some(format!("{} {}", self.count, shown(self.size, false)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_in_nginx() {
        for (text, size, offset) in [
            ("0", Some(0), Some(0)),
            ("512", Some(512), Some(512)),
            ("8k", Some(8192), Some(8192)),
            ("8K", Some(8192), Some(8192)),
            ("1m", Some(1 << 20), Some(1 << 20)),
            ("1G", None, Some(1 << 30)),
            ("k", None, None),
            ("", None, None),
            ("1kk", None, None),
            ("1.5m", None, None),
            ("-1", None, None),
            ("9007199254740992k", None, None),
        ] {
            assert_eq!(parse_size(text.as_bytes()), size, "{text}");
            assert_eq!(parse_offset(text.as_bytes()), offset, "{text}");
        }
        assert_eq!(Offset::m(1024).show().unwrap(), "1g");
        assert_eq!(Bufs::new(4, 32768).show().unwrap(), "4 32k");
    }
}
