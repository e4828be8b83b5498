//! Base64 (RFC 4648, section 4) in pieces: texts with padding may follow one another.

use super::Fault;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The mark of a byte that is not in the alphabet.
const NONE: u8 = 0xff;

/// The values of bytes.
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut at = 0;
    while at < ALPHABET.len() {
        values[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    values
};

/// A reader of texts. A byte is there with the character that completes it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reader {
    /// The values of the characters so far of four.
    bits: u32,
    /// Their number, with padding.
    have: u8,
    /// Whether there is padding among them.
    is_padded: bool,
}

impl Reader {
    /// Appends what `input` stands for, at most three quarters of its length and three bytes.
    ///
    /// # Errors
    /// It is no base64.
    pub(super) fn read(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        out.reserve(input.len() / 4 * 3 + 3);
        let mut rest = input;
        while let Some((&byte, after)) = rest.split_first() {
            if self.have == 0
                && let Some((four, after)) = rest.split_first_chunk()
                && let Some(bits) = whole(four)
            {
                out.extend_from_slice(&bits.to_be_bytes()[1..]);
                rest = after;
                continue;
            }
            rest = after;
            self.take(byte, out)?;
        }
        Ok(())
    }

    /// Takes one character.
    fn take(&mut self, byte: u8, out: &mut Vec<u8>) -> Result<(), Fault> {
        self.have += 1;
        match VALUES[byte as usize] {
            NONE if byte == b'=' && self.have > 2 => self.is_padded = true,
            NONE => return Err(Fault::Base64),
            _ if self.is_padded => return Err(Fault::Base64),
            value => {
                self.bits = self.bits << 6 | u32::from(value);
                if self.have > 1 {
                    // Of 12, 18 and 24 bits, the last ones that make a byte.
                    out.push((self.bits >> (8 - 2 * self.have)) as u8);
                }
            }
        }
        if self.have == 4 {
            *self = Self::default();
        }
        Ok(())
    }

    /// The end of the text.
    ///
    /// # Errors
    /// It is within four characters.
    pub(super) fn end(&self) -> Result<(), Fault> {
        if self.have == 0 { Ok(()) } else { Err(Fault::Base64Cut) }
    }
}

/// The bits of four characters, all of the alphabet.
#[inline]
fn whole(four: &[u8; 4]) -> Option<u32> {
    let [a, b, c, d] = four.map(|byte| VALUES[byte as usize]);
    // Values have six bits, the mark has more.
    if (a | b | c | d) > 63 {
        return None;
    }
    Some(u32::from(a) << 18 | u32::from(b) << 12 | u32::from(c) << 6 | u32::from(d))
}

/// A writer of texts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Writer {
    /// The bytes so far of three.
    held: [u8; 2],
    have: usize,
}

impl Writer {
    /// Appends the text of `input`, except for its last one or two bytes if they are not a third.
    pub(super) fn write(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let fill = if self.have == 0 { 0 } else { (3 - self.have).min(input.len()) };
        out.reserve(input.len() / 3 * 4 + 4);
        let (first, input) = input.split_at(fill);
        if self.have > 0 {
            for &byte in first {
                match self.held.get_mut(self.have) {
                    Some(place) => *place = byte,
                    None => out.extend_from_slice(&four(self.held[0], self.held[1], byte)),
                }
                self.have += 1;
            }
            if self.have < 3 {
                return;
            }
        }
        let (threes, rest) = input.as_chunks();
        for &[a, b, c] in threes {
            out.extend_from_slice(&four(a, b, c));
        }
        self.held[..rest.len()].copy_from_slice(rest);
        self.have = rest.len();
    }

    /// Ends a text: appends what is held, with padding.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        let [first, second] = self.held;
        match self.have {
            0 => return,
            1 => {
                let [a, b, ..] = four(first, 0, 0);
                out.extend_from_slice(&[a, b, b'=', b'=']);
            }
            _ => {
                let [a, b, c, _] = four(first, second, 0);
                out.extend_from_slice(&[a, b, c, b'=']);
            }
        }
        self.have = 0;
    }
}

/// The characters of three bytes.
#[inline]
fn four(a: u8, b: u8, c: u8) -> [u8; 4] {
    let bits = u32::from(a) << 16 | u32::from(b) << 8 | u32::from(c);
    [18, 12, 6, 0].map(|shift| ALPHABET[(bits >> shift & 63) as usize])
}
