//! Settings that the modules of content codings share.

use std::ops::RangeInclusive;

use weir_conf::value::{Bufs, Size, parse_number, parse_size};
use weir_conf::{Arity, Cx, Fault, Node, Value, directives};

use crate::core::MediaTypes;

directives! {
    /// What the modules of content codings have in common.
    pub(crate) struct Coding in [http, server, location] {
        /// The number and size of the output buffers. Only the size is used.
        "buffers" => buffers: Bufs = Bufs::new(32, 4096),
        /// The media types that are compressed, besides `text/html`.
        "types" => types: MediaTypes,
        /// The minimum length of a compressed response, if its `Content-Length` is known.
        "min_length" => min_length: Size = Size::bytes(20),
    }
}

/// A compression level in a range.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level<const LEAST: u64, const MOST: u64>(pub(crate) u32);

impl<const LEAST: u64, const MOST: u64> Value for Level<LEAST, MOST> {
    const SYNTAX: &'static str = "level";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        match parse_number(&word.value) {
            Some(level) if (LEAST..=MOST).contains(&level) => Ok(Self(level as u32)),
            Some(_) => {
                Err(Fault::new(format!("value must be between {LEAST} and {MOST}")).at(word))
            }
            None => Err(Fault::directive("invalid number").at(word)),
        }
    }

    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// The exponent of a size, which must be a power of two.
///
/// # Errors
/// It is none, or not one of `sizes`; `rule` then says what is allowed.
pub(crate) fn exponent(
    node: &Node,
    sizes: RangeInclusive<u8>,
    rule: &'static str,
) -> Result<u8, Fault> {
    let word = &node.args[0];
    let size = parse_size(&word.value).ok_or_else(|| Fault::bad_value().at(word))?;
    let found = sizes.into_iter().find(|&bits| 1 << bits == size);
    found.ok_or_else(|| Fault::directive(rule).at(word))
}

/// A power of two as a size, for the reference.
pub(crate) fn show_power(bits: u8) -> String {
    format!("{}k", (1_u32 << bits) >> 10)
}
