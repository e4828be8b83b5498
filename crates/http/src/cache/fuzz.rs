//! Entry points of fuzz targets: damaged files, and the fields that decide about keeping.

use std::ops::Range;
use std::path::Path;

use weir_wire::header::Headers;

use super::file::{BLOCK, Broken, Head, Sums, Times, sum, sums_length};
use super::freshness;
use super::key::{Digest, Levels};
use crate::pass::hidden::Ignored;

/// Takes bytes off the start of an input, and zeros after its end.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn number(&mut self) -> u64 {
        let (now, later) = self.0.split_at(self.0.len().min(4));
        self.0 = later;
        now.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
    }

    /// Up to the next line feed.
    fn line(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|&byte| byte == b'\n').unwrap_or(self.0.len());
        let (line, rest) = self.0.split_at(end);
        self.0 = rest.get(1..).unwrap_or_default();
        line
    }
}

/// The file of a response, as it is stored.
fn stored(input: &mut Input<'_>) -> Vec<u8> {
    let valid = i64::from(input.number() as u32);
    let (updating, length) = (input.number() as u32, input.number() % (3 * BLOCK));
    let key = input.line().to_vec();
    let vary = input.line().to_vec();
    let mut fields = Headers::new();
    fields.push(b"X-Field", input.line());
    let text = input.line();
    let body: Vec<u8> = (0..length)
        .zip(text.iter().chain(b".").cycle())
        .map(|(at, byte)| byte ^ at as u8)
        .collect();
    let mut sums = Sums::default();
    sums.add(&body);
    let main = Digest::of(&key);
    let head = Head {
        times: Times { valid, updating, error: 1, date: 1 },
        body: length,
        status: 200,
        status_line: None,
        variant: main.variant(&vary, false, |_: &[u8]| std::iter::empty()),
        main,
        key,
        vary,
        fields,
    };
    [head.to_bytes(), body, sums.finish()].concat()
}

/// The body in a file, if all of it is right.
fn read(bytes: &[u8]) -> Result<Range<usize>, Broken> {
    let (head, start) = Head::parse(bytes)?;
    let end = (start as u64).saturating_add(head.body);
    let whole = end.saturating_add(sums_length(head.body));
    if whole != bytes.len() as u64 {
        return Err(Broken::Sum);
    }
    let body = start..end as usize;
    let blocks = bytes[body.clone()].chunks(BLOCK as usize);
    let is_right = blocks.flat_map(|block| sum(block).to_le_bytes()).eq(bytes[body.end..].to_vec());
    if is_right { Ok(body) } else { Err(Broken::Sum) }
}

/// A stored file with one or two bits flipped, cut off, or lengthened is refused; one without
/// damage is read.
///
/// # Panics
/// If that does not hold.
pub fn damaged_file(data: &[u8]) {
    let mut input = Input(data);
    let (how, first, second) = (input.number() % 4, input.number(), input.number());
    let whole = stored(&mut input);
    assert!(read(&whole).is_ok(), "a stored file is read");
    let mut damaged = whole.clone();
    let bits = whole.len() as u64 * 8;
    match how {
        0 => flip(&mut damaged, first % bits),
        1 => {
            flip(&mut damaged, first % bits);
            if second % bits != first % bits {
                flip(&mut damaged, second % bits);
            }
        }
        2 => damaged.truncate((first % whole.len() as u64) as usize),
        _ => damaged.extend(std::iter::repeat_n(second as u8, 1 + (first % 1000) as usize)),
    }
    assert!(read(&damaged).is_err(), "a damaged file is refused: {how} {first} {second}");
}

fn flip(bytes: &mut [u8], bit: u64) {
    bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
}

/// Lines: levels, `Vary`, a key, then fields `Name: value` of a response and of a request.
///
/// # Panics
/// If a response is kept that must not be, or a name is not that of its digest.
pub fn fields(data: &[u8]) {
    let mut input = Input(data);
    let levels = Levels::parse(input.line());
    let (named, key) = (input.line(), input.line());
    let digest = Digest::of(key);
    assert_eq!(Digest::from_name(digest.to_string().as_bytes()), Some(digest));
    if let Some(levels) = levels {
        let path = digest.path(Path::new("/c"), levels);
        assert_eq!(path.components().count(), 3 + levels.depth());
    }
    let _ = Digest::from_name(key);
    let mut fields = Headers::new();
    while !input.0.is_empty() {
        let line = input.line();
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
        fields.push(&line[..colon], line.get(colon + 1..).unwrap_or_default().trim_ascii());
    }
    const NOW: i64 = 1_800_000_000;
    for by_status in [None, Some(0), Some(60), Some(i64::MAX)] {
        let times = freshness::times(&fields, Ignored::default(), by_status, NOW);
        if let Some(times) = times {
            assert_eq!(times.date, NOW);
            let sets_cookie =
                fields.iter().any(|(name, ..)| name.eq_ignore_ascii_case(b"Set-Cookie"));
            assert!(!sets_cookie, "who gets a cookie is alone with it");
        }
    }
    let vary = freshness::vary(&fields, Ignored::default()).unwrap_or_else(|_| named.to_vec());
    let variant = |suffix: &[u8]| {
        let own = [named, suffix].concat();
        digest.variant(&vary, false, |_: &[u8]| [own.as_slice()].into_iter())
    };
    let has_names = vary.iter().any(|byte| !matches!(byte, b',' | b' '));
    assert_eq!(variant(b"a") != variant(b"b"), has_names, "other values are another variant");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_refused() {
        let rest = b"\0\0\0\x09\0\0\0\x05\0\x01\x80\0key\naccept\nvalue\ntext";
        for how in 0..4_u32 {
            for at in (0..3_000_000_u32).step_by(99_991) {
                let numbers = [how, at, at.wrapping_mul(31)].map(u32::to_be_bytes).concat();
                damaged_file(&[numbers, rest.to_vec()].concat());
            }
        }
    }

    #[test]
    fn fields_decide() {
        fields(b"1:2\naccept\nkey\nCache-Control: max-age=60\nVary: accept\nExpires: 0");
        fields(b"x\n\n\nSet-Cookie: a=b\nX-Accel-Expires: 60");
    }
}
