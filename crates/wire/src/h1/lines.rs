//! The fast path for header lines: many common lines in one sweep.
//!
//! A line is taken here if it is complete and plain: a valid name, a colon, a value of ASCII
//! without control bytes, CRLF. Other lines, and all faults, are left to [`super::field`], which
//! parses plain lines alike.

use crate::header::{Entry, Known, Seen, Span};
use crate::words;

/// The limit of the search for a colon. Without it, lines without a colon would be scanned again
/// and again.
/// be gone over again and again.
const NAME_MAX: usize = 64;

/// Fields that need the caller's attention.
pub(super) struct Rules {
    /// Fields after which the caller acts.
    pub(super) notice: Seen,
    /// Fields whose second occurrence is odd.
    pub(super) once: Seen,
}

/// The reason why [`read`] stopped.
#[derive(Clone, Copy)]
pub(super) enum Stop {
    /// After a noticed line, the last of the entries.
    Notice,
    /// Before the blank line after the last field.
    Blank,
    /// Before a line that is odd or incomplete, or that exceeds the limit.
    Odd,
}

/// Reads lines from `buf[at..]` into `entries`, up to `most` in all, and their ids into `seen`.
/// Returns the offset at which it stopped.
#[inline(never)]
pub(super) fn read(
    buf: &[u8],
    mut at: usize,
    most: usize,
    rules: &Rules,
    entries: &mut Vec<Entry>,
    seen: &mut Seen,
) -> (usize, Stop) {
    let stop = loop {
        let Some((line, next)) = usual(buf, at) else {
            let blank = buf.get(at..).is_some_and(|rest| rest.starts_with(b"\r\n"));
            break if blank { Stop::Blank } else { Stop::Odd };
        };
        let repeated = !seen.insert(line.known) && rules.once.contains(line.known);
        if repeated || entries.len() >= most {
            break Stop::Odd;
        }
        entries.push(line);
        at = next;
        if rules.notice.contains(line.known) {
            break Stop::Notice;
        }
    };
    (at, stop)
}

/// The plain line at `at`, and the offset after it.
#[inline(always)]
fn usual(buf: &[u8], at: usize) -> Option<(Entry, usize)> {
    let first = word(buf, at)?;
    let colons = words::equal(first, b':');
    let (known, colon) = match colons {
        0 => long_name(buf, at, first)?,
        _ => short_name(at, first, colons)?,
    };
    let (mut start, after) = (colon + 1, buf.get(colon + 1..)?);
    match after {
        [b' ', next, ..] if *next != b' ' => start += 1,
        _ => start += spaces(after),
    }
    let stop = value_end(buf, at, colon + 1)?;
    if buf.get(stop..)?.first_chunk() != Some(b"\r\n") {
        return None;
    }
    let end = match buf[stop - 1] {
        b' ' => without_spaces(buf, start, stop),
        _ => stop,
    };
    let (name, value) = (Span::new(at, colon), Span::new(start, end));
    Some((Entry { name, value, known, never_indexed: false }, stop + 2))
}

#[inline(always)]
fn word(buf: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*buf.get(at..)?.first_chunk()?))
}

#[cold]
fn spaces(value: &[u8]) -> usize {
    value.iter().take_while(|&&byte| byte == b' ').count()
}

/// The end of a value without the spaces before `stop`.
#[cold]
fn without_spaces(buf: &[u8], start: usize, stop: usize) -> usize {
    start + buf[start..stop].iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1)
}

/// The id of a name shorter than eight bytes, which are in `first`, and the offset of its end: the
/// lowest of `colons`.
#[inline(always)]
fn short_name(at: usize, first: u64, colons: u64) -> Option<(Known, usize)> {
    // All bits below the lowest colon's byte.
    let name = ((colons & colons.wrapping_neg()) >> 7) - 1;
    let len = words::lowest(colons);
    let known = Known::of_short(first & name, len);
    if known == Known::Other && !is_short_name(first, name) {
        return None;
    }
    Some((known, at + len))
}

#[inline(never)]
fn is_short_name(word: u64, mask: u64) -> bool {
    mask != 0 && words::is_name_word(word, mask)
}

/// Likewise for a longer name.
#[inline(always)]
fn long_name(buf: &[u8], at: usize, first: u64) -> Option<(Known, usize)> {
    if first as u16 == u16::from_le_bytes(*b"\r\n") {
        return None;
    }
    let mut colon = at + 8;
    loop {
        let colons = words::equal(word(buf, colon)?, b':');
        if colons != 0 {
            colon += words::lowest(colons);
            break;
        }
        colon += 8;
        if colon >= at + NAME_MAX {
            return None;
        }
    }
    let name = buf.get(at..colon)?;
    let last = u64::from_le_bytes(*name.last_chunk()?);
    let known = Known::of_long(first, last, name);
    if known == Known::Other && !words::is_name(name) {
        return None;
    }
    Some((known, colon))
}

/// The offset of the first byte of a value that is a control byte or not ASCII. From `line` to
/// `value` there is none.
#[inline(always)]
fn value_end(buf: &[u8], line: usize, value: usize) -> Option<usize> {
    let mut at = value;
    // Most values are short; for long ones, sixteen bytes are checked at once.
    for _ in 0..2 {
        let Some(word) = word(buf, at) else { return near_end(buf, line) };
        let found = words::not_text(word);
        if found != 0 {
            return Some(at + words::lowest(found));
        }
        at += 8;
    }
    while let Some(piece) = buf.get(at..).and_then(<[u8]>::first_chunk::<16>) {
        if piece.iter().fold(false, |bad, &byte| bad | !(b' '..0x7f).contains(&byte)) {
            break;
        }
        at += 16;
    }
    while let Some(word) = word(buf, at) {
        let found = words::not_text(word);
        if found != 0 {
            return Some(at + words::lowest(found));
        }
        at += 8;
    }
    near_end(buf, line)
}

/// Likewise with fewer than eight bytes left: the last word overlaps bytes of the line that are
/// already checked.
#[inline(never)]
fn near_end(buf: &[u8], line: usize) -> Option<usize> {
    let last = u64::from_le_bytes(*buf.get(line..)?.last_chunk()?);
    let found = words::not_text(last);
    (found != 0).then(|| buf.len() - 8 + words::lowest(found))
}
