//! The charsets of a configuration, and `charset_map`.

use std::sync::{Arc, OnceLock};

use weir_conf::{Cx, Fault, Node, Word};

use super::recode::{Character, Decoded, LONGEST, Table, decode};

/// The charsets of a configuration while it is read.
#[derive(Default)]
pub(super) struct Charsets {
    list: List,
    /// The conversions that levels use.
    wanted: Vec<(usize, usize)>,
    shared: Arc<OnceLock<List>>,
}

/// The charsets, indexed by number, and the conversion tables.
#[derive(Clone, Debug, Default)]
pub(super) struct List {
    names: Vec<Vec<u8>>,
    maps: Vec<Map>,
}

#[derive(Clone, Debug)]
struct Map {
    from: usize,
    to: usize,
    table: Arc<Table>,
}

impl List {
    /// The number of a charset, looked up by name.
    pub(super) fn number(&self, name: &[u8]) -> Option<usize> {
        self.names.iter().position(|known| known.eq_ignore_ascii_case(name))
    }

    /// The name of a charset as first written.
    pub(super) fn name(&self, number: usize) -> &[u8] {
        &self.names[number]
    }

    /// The table that converts `from` to `to`.
    pub(super) fn table(&self, from: usize, to: usize) -> Option<&Arc<Table>> {
        self.maps.iter().find(|map| map.from == from && map.to == to).map(|map| &map.table)
    }
}

impl Charsets {
    /// The number of a charset, which is added if it is new.
    pub(super) fn add(&mut self, name: &[u8]) -> usize {
        self.list.number(name).unwrap_or_else(|| {
            self.list.names.push(name.to_vec());
            self.list.names.len() - 1
        })
    }

    /// Records that a level converts `from` to `to`.
    pub(super) fn want(&mut self, from: usize, to: usize) {
        self.wanted.push((from, to));
    }

    /// The list for requests, which is empty until the configuration has been read.
    pub(super) fn shared(&self) -> Arc<OnceLock<List>> {
        Arc::clone(&self.shared)
    }

    /// Checks that every conversion in use has a table, and publishes the list.
    pub(super) fn finish(self) -> Result<(), Fault> {
        let missing = self.wanted.iter().find(|&&(from, to)| self.list.table(from, to).is_none());
        if let Some(&(from, to)) = missing {
            let name = |number| String::from_utf8_lossy(self.list.name(number)).into_owned();
            let text = no_map(&name(from), &name(to));
            return Err(Fault::new(text).nowhere());
        }
        let _ = self.shared.set(self.list);
        Ok(())
    }
}

/// nginx's message for two charsets without a table.
pub(super) fn no_map(from: &str, to: &str) -> String {
    format!("no \"charset_map\" between the charsets \"{from}\" and \"{to}\"")
}

const UTF8: &[u8] = b"utf-8";

/// `charset_map from to { … }`.
pub(super) fn add_map(node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let [from, to] = &node.args[..] else { return Err(Fault::bad_count(&node.name)) };
    let charsets = cx.registry::<Charsets>();
    let numbers = (charsets.add(&from.value), charsets.add(&to.value));
    let (one, other) = (from.text(), to.text());
    if numbers.0 == numbers.1 {
        let text = format!("\"charset_map\" between the same charsets \"{one}\" and \"{other}\"");
        return Err(Fault::new(text));
    }
    if from.value.eq_ignore_ascii_case(UTF8) {
        let text = "\"charset_map\" with \"utf-8\" charset should be given in the second column";
        return Err(Fault::new(text));
    }
    if charsets.list.table(numbers.0, numbers.1).is_some() {
        let text = format!("duplicate \"charset_map\" between \"{one}\" and \"{other}\"");
        return Err(Fault::new(text));
    }
    let (there, back) = match to.value.eq_ignore_ascii_case(UTF8) {
        true => utf8_tables(node, cx)?,
        false => byte_tables(node, cx)?,
    };
    let maps = &mut cx.registry::<Charsets>().list.maps;
    let (from, to) = numbers;
    maps.push(Map { from, to, table: Arc::new(there) });
    maps.push(Map { from: to, to: from, table: Arc::new(back) });
    cx.rows_done(node);
    Ok(())
}

/// Reads the rows of a block: a byte of the first charset, and its equivalent in the other.
fn rows<'n>(
    node: &'n Node,
    cx: &mut Cx<'_>,
    mut each: impl FnMut(u8, &'n Word) -> Option<()>,
) -> Result<(), Fault> {
    for row in node.block.iter().flatten() {
        cx.row(row);
        let [value] = &row.args[..] else {
            return Err(Fault::new("invalid parameters number"));
        };
        let byte = hex(&row.name.value).ok_or_else(|| Fault::invalid(&row.name))?;
        each(byte, value).ok_or_else(|| Fault::invalid(value))?;
    }
    Ok(())
}

fn byte_tables(node: &Node, cx: &mut Cx<'_>) -> Result<(Table, Table), Fault> {
    let mut there = Box::new([b'?'; 256]);
    for (byte, value) in (0..128).zip(there.iter_mut()) {
        *value = byte;
    }
    let mut back = there.clone();
    rows(node, cx, |byte, value| {
        let other = hex(&value.value)?;
        there[usize::from(byte)] = other;
        back[usize::from(other)] = byte;
        Some(())
    })?;
    Ok((Table::Bytes(there), Table::Bytes(back)))
}

fn utf8_tables(node: &Node, cx: &mut Cx<'_>) -> Result<(Table, Table), Fault> {
    let unknown = Character { length: 1, bytes: [b'?', 0, 0, 0] };
    let mut there = Box::new([unknown; 256]);
    let mut back: Box<[Option<Box<[u8; 256]>>; 256]> = Box::new([const { None }; 256]);
    let ascii = back[0].insert(Box::new([0; 256]));
    for byte in 0..128_u8 {
        there[usize::from(byte)] = Character { length: 1, bytes: [byte, 0, 0, 0] };
        ascii[usize::from(byte)] = byte;
    }
    rows(node, cx, |byte, value| {
        let mut character = Character::default();
        for digits in value.value.chunks(2) {
            *character.bytes.get_mut(usize::from(character.length))? = hex(digits)?;
            character.length += 1;
        }
        let point = code_point(character.bytes())?;
        let row = back[(point >> 8) as usize].get_or_insert_with(|| Box::new([0; 256]));
        row[(point & 0xff) as usize] = byte;
        there[usize::from(byte)] = character;
        Some(())
    })?;
    Ok((Table::ToUtf8(there), Table::FromUtf8(back)))
}

/// The code point of a UTF-8 character; None above 65,535, where tables end.
fn code_point(bytes: &[u8]) -> Option<u32> {
    debug_assert!(bytes.len() <= LONGEST);
    match bytes {
        [] => None,
        [byte] if *byte < 0x80 => Some(u32::from(*byte)),
        _ => match decode(bytes).0 {
            Decoded::Point(point) if point <= 0xffff => Some(point),
            _ => None,
        },
    }
}

/// One or two hexadecimal digits.
fn hex(digits: &[u8]) -> Option<u8> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u8, |number, &digit| {
        let digit = char::from(digit).to_digit(16)? as u8;
        number.checked_mul(16)?.checked_add(digit)
    })
}
