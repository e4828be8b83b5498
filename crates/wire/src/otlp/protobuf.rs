//! Protocol Buffers' encoding (<https://protobuf.dev/programming-guides/encoding/>), as far as
//! OTLP needs it.

/// The kinds of fields on the wire.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const FIXED32: u32 = 5;

/// The most bytes of a number.
const MAX_VARINT: usize = 10;

/// Appends fields.
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

impl Writer<'_> {
    fn key(&mut self, field: u32, kind: u32) {
        varint(self.0, u64::from(field << 3 | kind));
    }

    pub(super) fn number(&mut self, field: u32, value: u64) {
        self.key(field, VARINT);
        varint(self.0, value);
    }

    pub(super) fn fixed64(&mut self, field: u32, value: u64) {
        self.key(field, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn fixed32(&mut self, field: u32, value: u32) {
        self.key(field, FIXED32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) {
        self.key(field, BYTES);
        varint(self.0, value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A string, which must be UTF-8.
    pub(super) fn text(&mut self, field: u32, value: &[u8]) {
        self.bytes(field, crate::shown(value).as_bytes());
    }

    pub(super) fn message(&mut self, field: u32, fill: impl FnOnce(&mut Writer<'_>)) {
        let start = self.0.len();
        fill(&mut Writer(self.0));
        wrap(self.0, start, field);
    }
}

/// Makes what follows `start` the message of a field.
pub(super) fn wrap(out: &mut Vec<u8>, start: usize, field: u32) {
    let mut head = Vec::with_capacity(MAX_VARINT);
    varint(&mut head, u64::from(field << 3 | BYTES));
    varint(&mut head, (out.len() - start) as u64);
    out.splice(start..start, head);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// Reads fields.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next field with its number; `Some(None)` at the end, `None` for what is no message.
    #[allow(clippy::option_option, reason = "the end differs from a fault")]
    pub(super) fn next(&mut self) -> Option<Option<(u64, Field<'a>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let key = self.varint()?;
        let value = match (key & 7) as u32 {
            VARINT => Field::Number(self.varint()?),
            FIXED64 => self.take(8).map(|_| Field::Other)?,
            FIXED32 => self.take(4).map(|_| Field::Other)?,
            BYTES => {
                let length = usize::try_from(self.varint()?).ok()?;
                Field::Bytes(self.take(length)?)
            }
            _ => return None,
        };
        Some(Some((key >> 3, value)))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for at in 0..MAX_VARINT {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f).checked_shl(7 * at as u32)?;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}
