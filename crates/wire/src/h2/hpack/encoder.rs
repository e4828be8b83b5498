//! The encoder's dynamic table: what it holds, and how fields are found in it.

use super::table::{self, Table};
use super::{BlockWriter, TABLE_MAX, integer};
use crate::header::Known;

mod memory;

use memory::{Memory, Seen};

/// The size of a peer's table before its settings (RFC 9113 section 6.5.2).
const INITIAL: usize = 4096;

/// The encoder of a connection's header blocks, with its dynamic table.
///
/// A field is put into the table when it occurs for the second time, so that what does not recur
/// costs nothing and pushes nothing out; so is one whose name recurs and is in no table. Fields
/// that carry secrets are never put there.
#[derive(Debug)]
pub struct Encoder {
    table: Table,
    memory: Memory,
    /// The number of fields ever put into the table.
    inserted: u32,
    /// The most that our table may take.
    own: usize,
    /// The most that the peer's settings allow now.
    allowed: usize,
    /// The least that they allowed since the last block.
    lowest: usize,
    /// The size that the peer's table has.
    signalled: usize,
}

/// How a field can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Whole, by this index.
    Whole(usize),
    /// As a literal with this index of its name (or 0), which the peer is to put into its table.
    Insert(usize),
    /// As a literal with this index of its name (or 0).
    Literal(usize),
}

impl Encoder {
    /// An encoder whose table takes at most `size` bytes (up to [`TABLE_MAX`]), whatever the peer's
    /// settings allow, which is 4,096 at first.
    pub fn new(size: u32) -> Self {
        let own = size.min(TABLE_MAX) as usize;
        Self {
            table: Table::new(own.min(INITIAL)),
            memory: Memory::default(),
            inserted: 0,
            own,
            allowed: INITIAL,
            lowest: INITIAL,
            signalled: INITIAL,
        }
    }

    /// Heeds the size that the peer allows (SETTINGS_HEADER_TABLE_SIZE).
    pub fn set_peer_limit(&mut self, size: u32) {
        self.allowed = size as usize;
        self.lowest = self.lowest.min(self.allowed);
    }

    /// Begins a block at the end of `out`. What is written must reach the peer, in the order of the
    /// blocks.
    pub fn block<'a>(&'a mut self, out: &'a mut Vec<u8>) -> BlockWriter<'a> {
        if self.lowest < self.signalled {
            self.resize(self.lowest, out);
        }
        if self.allowed > self.signalled && self.own > self.signalled {
            self.resize(self.allowed.min(self.own), out);
        }
        self.lowest = self.allowed;
        BlockWriter::new(self, out)
    }

    /// Tells the peer another size of the table (RFC 7541 section 6.3).
    fn resize(&mut self, size: usize, out: &mut Vec<u8>) {
        integer::write(out, 0x20, 5, size);
        self.signalled = size;
        self.table.set_limit(size.min(self.own));
    }

    /// Looks a field up whose name (in lower case) has this index in the static table, or 0, and
    /// updates the table.
    pub(super) fn find(
        &mut self,
        known: Known,
        name: &[u8],
        value: &[u8],
        static_index: usize,
    ) -> Found {
        let size = name.len() + value.len();
        if size > self.table.limit() / LARGEST_SHARE {
            return Found::Literal(static_index);
        }
        let name_hash = memory::of_name(known, name);
        let hash = memory::of_value(name_hash, value);
        let seen = self.memory.look(hash);
        if let Some(age) = self.age(seen)
            && let Some(field) = self.table.get(age)
            && field.known == known
            && table::is(self.table.value(field), value)
            && (known != Known::Other || table::is(self.table.name(field), name))
        {
            return Found::Whole(super::static_table::COUNT + 1 + age);
        }
        let mut index = static_index;
        let mut insert = seen != Seen::Never;
        if static_index == 0 {
            let seen = self.memory.look(name_hash);
            let same = self.age(seen).filter(|&age| {
                let field = self.table.get(age);
                field.is_some_and(|field| table::is(self.table.name(field), name))
            });
            index = same.map_or(0, |age| super::static_table::COUNT + 1 + age);
            insert |= same.is_none() && seen != Seen::Never && size <= NAME_CARRIER_MAX;
        }
        if !insert {
            return Found::Literal(index);
        }
        self.table.insert([name, b": ", value, b"\r\n"], name.len(), known, true);
        self.inserted = self.inserted.wrapping_add(1).max(1);
        self.memory.keep(hash, self.inserted);
        if static_index == 0 {
            self.memory.keep(name_hash, self.inserted);
        }
        Found::Insert(index)
    }

    /// The number of fields in the table.
    #[cfg(test)]
    pub(super) fn table_len(&self) -> usize {
        self.table.len()
    }

    /// The age of a field in the table, if it is still there.
    fn age(&self, seen: Seen) -> Option<usize> {
        let Seen::Inserted(number) = seen else { return None };
        let age = self.inserted.wrapping_sub(number) as usize;
        (age < self.table.len()).then_some(age)
    }
}

/// The part of the table that a single field may take at most, as a divisor.
const LARGEST_SHARE: usize = 2;

/// The maximum length of a field that is put into the table for its name alone, in bytes.
const NAME_CARRIER_MAX: usize = 128;
