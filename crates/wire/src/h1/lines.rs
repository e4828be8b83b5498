//! Header lines as nearly all are, many in one sweep.
//!
//! A line is taken here when all of it is there and nothing is odd about it: a valid name, a colon,
//! a clean value, CRLF or LF. Everything else, and every fault, is left to [`super::field`], which
//! finds the same in the lines that are taken here.

use crate::header::{Entry, Known, Seen, Span};
use crate::words;

/// Bytes of a name that a colon is looked for in. Without such a bound, lines that have none would
/// be gone over again and again.
const NAME_MAX: usize = 64;

/// Lines that need more than being read.
pub(super) struct Rules {
    /// After one of these the caller looks at it.
    pub(super) notice: Seen,
    /// The second one of these is odd.
    pub(super) once: Seen,
}

/// Where [`read`] stopped.
#[derive(Clone, Copy)]
pub(super) enum Stop {
    /// After a line that the caller looks at, the last of the entries.
    Notice,
    /// Before the blank line after the last.
    Blank,
    /// Before a line that is odd or not all there, or that is one too many.
    Odd,
}

/// Reads lines from `buf[at..]` into `entries`, no more than `most` in all, and their ids into
/// `seen`. Returns the offset where it stopped.
#[inline(never)]
pub(super) fn read(
    buf: &[u8],
    at: usize,
    most: usize,
    rules: &Rules,
    entries: &mut Vec<Entry>,
    seen: &mut Seen,
) -> (usize, Stop) {
    let mut rest = buf.get(at..).unwrap_or_default();
    let stop = loop {
        let base = (buf.len() - rest.len()) as u32;
        let Some((line, next)) = usual(rest) else {
            break if rest.starts_with(b"\r\n") { Stop::Blank } else { Stop::Odd };
        };
        let repeated = !seen.insert(line.known) && rules.once.contains(line.known);
        if repeated || entries.len() >= most {
            break Stop::Odd;
        }
        entries.push(Entry {
            name: Span { start: base, end: base + line.name.end },
            value: Span { start: base + line.value.start, end: base + line.value.end },
            known: line.known,
        });
        rest = next;
        if rules.notice.contains(line.known) {
            break Stop::Notice;
        }
    };
    (buf.len() - rest.len(), stop)
}

/// The line that `rest` begins with, as offsets from there, and what follows it.
#[inline(always)]
fn usual(rest: &[u8]) -> Option<(Entry, &[u8])> {
    let first = u64::from_le_bytes(*rest.first_chunk::<8>()?);
    let colons = words::equal(first, b':');
    let (known, colon) = match colons {
        0 => long_name(rest, first)?,
        _ => short_name(first, colons)?,
    };
    let after = rest.get(colon + 1..)?;
    let start = match after {
        [b' ', next, ..] if *next != b' ' => colon + 2,
        _ => colon + 1 + spaces(after),
    };
    let stop = control(rest, after)?;
    let ([b'\r', b'\n', next @ ..] | [b'\n', next @ ..]) = rest.get(stop..)? else { return None };
    let end = match rest[stop - 1] {
        b' ' => last_of_value(rest, start, stop),
        _ => stop,
    };
    Some((Entry { name: Span::new(0, colon), value: Span::new(start, end), known }, next))
}

#[cold]
fn spaces(value: &[u8]) -> usize {
    value.iter().take_while(|&&byte| byte == b' ').count()
}

/// Where a value ends that has a space before `stop`.
#[cold]
fn last_of_value(line: &[u8], start: usize, stop: usize) -> usize {
    start + line[start..stop].iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1)
}

/// The id and the length of a name of less than eight bytes, which are in `first`, with `colons`.
#[inline(always)]
fn short_name(first: u64, colons: u64) -> Option<(Known, usize)> {
    // From the lowest colon's top bit down to all the bits below that byte.
    let name = ((colons & colons.wrapping_neg()) >> 7) - 1;
    let len = words::lowest(colons);
    let known = Known::of_short(first & name, len);
    if known == Known::Other && !is_short_name(first, name) {
        return None;
    }
    Some((known, len))
}

#[inline(never)]
fn is_short_name(word: u64, mask: u64) -> bool {
    mask != 0 && words::is_name_word(word, mask)
}

/// The same of a longer name.
#[inline(always)]
fn long_name(rest: &[u8], first: u64) -> Option<(Known, usize)> {
    if first as u16 == u16::from_le_bytes(*b"\r\n") {
        return None;
    }
    let mut len = 8;
    let name = loop {
        let word = u64::from_le_bytes(*rest.get(len..)?.first_chunk::<8>()?);
        let colons = words::equal(word, b':');
        if colons != 0 {
            break rest.get(..len + words::lowest(colons))?;
        }
        len += 8;
        if len >= NAME_MAX {
            return None;
        }
    };
    let last = u64::from_le_bytes(*name.last_chunk::<8>()?);
    let known = Known::of_long(first, last, name);
    if known == Known::Other && !words::is_name(name) {
        return None;
    }
    Some((known, name.len()))
}

/// The offset in `line` of the first control byte of its end `value`; a tab is one. Before it the
/// line has none.
#[inline(always)]
fn control(line: &[u8], value: &[u8]) -> Option<usize> {
    let mut rest = value;
    // Most values end soon; for the others a register of sixteen tells where to look closer.
    for _ in 0..2 {
        let Some((word, next)) = rest.split_first_chunk::<8>() else { break };
        let found = words::control(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(line.len() - rest.len() + words::lowest(found));
        }
        rest = next;
    }
    while let Some((piece, next)) = rest.split_first_chunk::<16>() {
        if piece.iter().fold(false, |bad, byte| bad | byte.is_ascii_control()) {
            break;
        }
        rest = next;
    }
    while let Some((word, next)) = rest.split_first_chunk::<8>() {
        let found = words::control(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(line.len() - rest.len() + words::lowest(found));
        }
        rest = next;
    }
    // The last word of the line reaches back over bytes that have been looked at.
    let found = words::control(u64::from_le_bytes(*line.last_chunk::<8>()?));
    (found != 0).then(|| line.len() - 8 + words::lowest(found))
}
