//! Sets of characters as ranges: `[…]`, `\d`, `[:alpha:]` and the like.
//!
//! PCRE in its default locale folds and classifies ASCII only, so sets are spelled out, and the
//! engines neither fold case nor look properties up.

use std::fmt::Write;

/// Ranges of characters, bounds included; outside UTF mode at most 255.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Set {
    ranges: Vec<(u32, u32)>,
    negated: bool,
}

pub(super) const DIGIT: &[(u32, u32)] = &[(0x30, 0x39)];
pub(super) const WORD: &[(u32, u32)] = &[(0x30, 0x39), (0x41, 0x5a), (0x5f, 0x5f), (0x61, 0x7a)];
pub(super) const SPACE: &[(u32, u32)] = &[(9, 13), (32, 32)];
pub(super) const HORIZONTAL: &[(u32, u32)] = &[(9, 9), (32, 32), (0xa0, 0xa0)];
pub(super) const VERTICAL: &[(u32, u32)] = &[(10, 13), (0x85, 0x85)];
/// The character that the dot excludes by default.
pub(super) const NEWLINE: &[(u32, u32)] = &[(10, 10)];

impl Set {
    pub(super) fn of(ranges: &[(u32, u32)]) -> Self {
        Self { ranges: ranges.to_vec(), negated: false }
    }

    pub(super) fn not(ranges: &[(u32, u32)]) -> Self {
        Self { ranges: ranges.to_vec(), negated: true }
    }

    pub(super) fn negate(&mut self) {
        self.negated = !self.negated;
    }

    pub(super) fn add(&mut self, from: u32, to: u32) {
        self.ranges.push((from, to));
    }

    pub(super) fn add_set(&mut self, ranges: &[(u32, u32)], negated: bool, top: u32) {
        if negated {
            self.ranges.extend(complement(ranges, top));
        } else {
            self.ranges.extend_from_slice(ranges);
        }
    }

    /// Adds the other case of every ASCII letter.
    pub(super) fn fold(&mut self) {
        let letters = |(from, to): (u32, u32), low: u32, by: i32| {
            let (from, to) = (from.max(low), to.min(low + 25));
            (from <= to).then(|| (from.wrapping_add_signed(by), to.wrapping_add_signed(by)))
        };
        let folded: Vec<_> = self
            .ranges
            .iter()
            .flat_map(|&range| [letters(range, 0x41, 32), letters(range, 0x61, -32)])
            .flatten()
            .collect();
        self.ranges.extend(folded);
    }

    /// Writes the set in the syntax of both engines.
    pub(super) fn write(&self, out: &mut String) {
        out.push_str(if self.negated { "[^" } else { "[" });
        for &(from, to) in &normal(&self.ranges) {
            push_code(out, from);
            if from != to {
                out.push('-');
                push_code(out, to);
            }
        }
        out.push(']');
    }

    /// Whether the set is empty, which both engines refuse as a class.
    pub(super) fn is_empty(&self, top: u32) -> bool {
        if self.negated {
            normal(&self.ranges).first().is_some_and(|&(from, to)| from == 0 && to >= top)
        } else {
            self.ranges.is_empty()
        }
    }
}

/// Writes a character's number. Outside UTF mode only the short form is a byte.
pub(super) fn push_code(out: &mut String, code: u32) {
    let _ = match u8::try_from(code) {
        Ok(byte) => write!(out, "\\x{byte:02X}"),
        Err(_) => write!(out, "\\x{{{code:X}}}"),
    };
}

fn normal(ranges: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    let mut merged: Vec<(u32, u32)> = Vec::with_capacity(sorted.len());
    for (from, to) in sorted {
        match merged.last_mut() {
            Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

pub(super) fn complement(ranges: &[(u32, u32)], top: u32) -> Vec<(u32, u32)> {
    let mut rest = Vec::new();
    let mut next = 0;
    for (from, to) in normal(ranges) {
        if from > next {
            rest.push((next, from - 1));
        }
        next = to.saturating_add(1);
    }
    if next <= top {
        rest.push((next, top));
    }
    // Surrogates are no characters, and an engine in UTF mode refuses them.
    if top > 0xff {
        rest = rest.into_iter().flat_map(without_surrogates).collect();
    }
    rest
}

fn without_surrogates((from, to): (u32, u32)) -> Vec<(u32, u32)> {
    let mut parts = Vec::new();
    if from < 0xd800 {
        parts.push((from, to.min(0xd7ff)));
    }
    if to > 0xdfff {
        parts.push((from.max(0xe000), to));
    }
    parts
}

/// The ranges of a POSIX class.
pub(super) fn posix(name: &[u8]) -> Option<&'static [(u32, u32)]> {
    Some(match name {
        b"alpha" => &[(0x41, 0x5a), (0x61, 0x7a)],
        b"lower" => &[(0x61, 0x7a)],
        b"upper" => &[(0x41, 0x5a)],
        b"alnum" => &[(0x30, 0x39), (0x41, 0x5a), (0x61, 0x7a)],
        b"ascii" => &[(0, 0x7f)],
        b"blank" => &[(9, 9), (32, 32)],
        b"cntrl" => &[(0, 0x1f), (0x7f, 0x7f)],
        b"digit" => DIGIT,
        b"graph" => &[(0x21, 0x7e)],
        b"print" => &[(0x20, 0x7e)],
        b"punct" => &[(0x21, 0x2f), (0x3a, 0x40), (0x5b, 0x60), (0x7b, 0x7e)],
        b"space" => SPACE,
        b"word" => WORD,
        b"xdigit" => &[(0x30, 0x39), (0x41, 0x46), (0x61, 0x66)],
        _ => return None,
    })
}

/// The ranges of a Unicode property among the first 256 code points, which PCRE compares bytes with
/// outside UTF mode. `None` for an unsupported property.
pub(super) fn property(name: &[u8]) -> Option<Vec<(u32, u32)>> {
    let holds: fn(char) -> bool = match name {
        b"Any" => |_| true,
        b"L" => char::is_alphabetic,
        b"Lu" => char::is_uppercase,
        b"Ll" => char::is_lowercase,
        b"N" => char::is_numeric,
        b"Nd" => |c| c.is_ascii_digit(),
        b"Xan" => char::is_alphanumeric,
        b"Xsp" | b"Xps" => |c| c.is_whitespace(),
        b"Xwd" => |c| c.is_alphanumeric() || c == '_',
        _ => return None,
    };
    Some((0..=0xffu8).filter(|&b| holds(char::from(b))).map(|b| (b.into(), b.into())).collect())
}
