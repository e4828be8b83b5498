//! Header compression (RFC 7541).
//!
//! Memory: a side's dynamic table takes at most its size in bytes, rounded up to a power of two,
//! and 12 bytes for each of at most size / 32 entries, which is 5.5 KiB with the usual 4,096. It
//! grows as entries come. An encoder has another 512 bytes once it has written a block.

mod block_writer;
mod decoder;
mod encoder;
pub mod fuzz;
mod huffman;
mod integer;
mod static_table;
mod table;

pub use block_writer::BlockWriter;
pub use decoder::Decoder;
pub use encoder::Encoder;

/// A block cannot be decoded, after which the tables of both sides may differ. Holds the reason,
/// for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HpackError(pub &'static str);

impl HpackError {
    /// The block ends in an integer: it is shorter than it says.
    pub const CUT: Self = Self("the block ends in an integer");
}

/// The largest dynamic table, in bytes: lengths of its fields take two bytes.
pub const TABLE_MAX: u32 = u16::MAX as u32;

#[cfg(test)]
mod tests;
