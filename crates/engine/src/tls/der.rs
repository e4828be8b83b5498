//! A reader for DER (ITU-T X.690), the encoding of certificates, and a writer of values.

use std::ops::Range;

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const OID: u8 = 0x06;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const UNIVERSAL_STRING: u8 = 0x1c;
pub(super) const BMP_STRING: u8 = 0x1e;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// The context-specific primitive tag `[number]`.
pub(super) const fn primitive(number: u8) -> u8 {
    0x80 | number
}

/// The context-specific constructed tag `[number]`.
pub(super) const fn constructed(number: u8) -> u8 {
    0xa0 | number
}

/// The number bits of a tag; all ones announce a longer tag.
const NUMBER: u8 = 0x1f;

/// A value with its tag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    pub(super) tag: u8,
    pub(super) body: &'a [u8],
    /// The encoding of the value: tag, length and body.
    pub(super) whole: &'a [u8],
}

impl Value<'_> {
    /// Whether the body is valid for its tag, as far as types restrict it.
    fn is_sound(&self) -> bool {
        match self.tag {
            BOOLEAN => self.body.len() == 1,
            INTEGER | ENUMERATED => is_integer(self.body),
            BIT_STRING => bits(self.body).is_some(),
            NULL => self.body.is_empty(),
            OID => is_oid(self.body),
            UNIVERSAL_STRING => self.body.len().is_multiple_of(4),
            BMP_STRING => self.body.len().is_multiple_of(2),
            _ => true,
        }
    }
}

/// A sequence of values. Every method returns `None` for invalid DER, such as a length that is not
/// in its shortest form, and for a value of another type than requested.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The body of the only value in `bytes`.
    pub(super) fn only(bytes: &'a [u8], tag: u8) -> Option<&'a [u8]> {
        let mut reader = Self(bytes);
        let body = reader.take(tag)?;
        reader.end().map(|()| body)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns `None` if any bytes are left.
    pub(super) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }

    /// The next value, of any tag.
    pub(super) fn value(&mut self) -> Option<Value<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        let (length, head) = length(rest)?;
        let end = head.checked_add(length)?.checked_add(1)?;
        let whole = self.0.get(..end)?;
        self.0 = &self.0[end..];
        (tag & NUMBER != NUMBER).then_some(Value { tag, body: &whole[1 + head..], whole })
    }

    /// The next value, of any tag, if its body is valid for that tag.
    pub(super) fn any(&mut self) -> Option<Value<'a>> {
        self.value().filter(Value::is_sound)
    }

    /// The body of the next value, if it has this tag.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.value().filter(|value| value.tag == tag).map(|value| value.body)
    }

    /// The body of an object identifier.
    pub(super) fn oid(&mut self) -> Option<&'a [u8]> {
        self.take(OID).filter(|body| is_oid(body))
    }

    /// The body of an optional value: `Some(None)` if the next value has another tag.
    pub(super) fn optional(&mut self, tag: u8) -> Option<Option<&'a [u8]>> {
        if self.0.first() == Some(&tag) { self.take(tag).map(Some) } else { Some(None) }
    }

    /// The body of an integer in its shortest form.
    pub(super) fn integer(&mut self) -> Option<&'a [u8]> {
        self.take(INTEGER).filter(|body| is_integer(body))
    }

    /// The remaining values, which must all have this tag.
    pub(super) fn each(self, tag: u8) -> impl Iterator<Item = Option<&'a [u8]>> {
        let mut rest = Some(self);
        std::iter::from_fn(move || {
            let mut reader = rest.filter(|reader| !reader.is_empty())?;
            let body = reader.take(tag);
            // An error ends the iteration.
            rest = body.map(|_| reader);
            Some(body)
        })
    }
}

/// A length and the size of its encoding.
fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        return Some((first.into(), 1));
    }
    let count = usize::from(first & 0x7f);
    let digits = rest.get(..count).filter(|digits| matches!(digits.len(), 1..=4))?;
    let length = digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit));
    let shortest = length >= 0x80 && digits[0] != 0;
    shortest.then_some((length, 1 + count))
}

/// Whether an integer is in its shortest form.
pub(super) fn is_integer(body: &[u8]) -> bool {
    !matches!(body, [] | [0, 0..=0x7f, ..] | [0xff, 0x80..=0xff, ..])
}

/// Whether the body is a sequence of arcs, each in its shortest form.
pub(super) fn is_oid(body: &[u8]) -> bool {
    let ends = body.last().is_some_and(|last| last & 0x80 == 0);
    let begins = |at: usize| at == 0 || body[at - 1] & 0x80 == 0;
    ends && !body.iter().enumerate().any(|(at, byte)| *byte == 0x80 && begins(at))
}

/// The bytes of a bit string with its unused bits cleared.
pub(super) fn bits(body: &[u8]) -> Option<Vec<u8>> {
    let (&unused, bytes) = body.split_first()?;
    if unused > 7 || (unused > 0 && bytes.is_empty()) {
        return None;
    }
    let mut bytes = bytes.to_vec();
    if let Some(last) = bytes.last_mut() {
        *last &= 0xff << unused;
    }
    Some(bytes)
}

/// The bytes of a bit string without unused bits, such as a signature or a key.
pub(super) fn whole_bits(body: &[u8]) -> Option<&[u8]> {
    body.split_first().filter(|(unused, _)| **unused == 0).map(|(_, bytes)| bytes)
}

/// Any nonzero value is true.
pub(super) fn boolean(body: &[u8]) -> Option<bool> {
    match body {
        [byte] => Some(*byte != 0),
        _ => None,
    }
}

/// A value with its tag and length.
pub(super) fn put(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len().to_be_bytes();
    let first = length.iter().position(|&byte| byte != 0).unwrap_or(length.len() - 1);
    let length = &length[first..];
    let mut value = vec![tag];
    match length {
        &[short] if short < 0x80 => value.push(short),
        long => {
            value.push(0x80 | long.len() as u8);
            value.extend_from_slice(long);
        }
    }
    value.extend_from_slice(body);
    value
}

/// The range of `part`, a subslice of `all`.
pub(super) fn place(all: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(all.as_ptr() as usize);
    start..start + part.len()
}

/// Seconds since 1970. RFC 5280 section 4.1.2.5 has two forms: `YYMMDDHHMMSSZ` for the years 1950
/// to 2049, and `YYYYMMDDHHMMSSZ`.
pub(super) fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let (year, rest) = match (tag, text.len()) {
        (UTC_TIME, 13) => {
            let year = number(&text[..2])?;
            (year + if year < 50 { 2000 } else { 1900 }, &text[2..])
        }
        (GENERALIZED_TIME, 15) => (number(&text[..4])?, &text[4..]),
        _ => return None,
    };
    let [digits @ .., b'Z'] = rest else { return None };
    let mut parts = digits.chunks_exact(2).map(number);
    let mut part =
        |least: i64, most: i64| parts.next().flatten().filter(|part| (least..=most).contains(part));
    let (month, day) = (part(1, 12)?, part(1, 31)?);
    let (hour, minute, second) = (part(0, 23)?, part(0, 59)?, part(0, 59)?);
    if day > days_of(year, month) {
        return None;
    }
    Some(((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| match digit {
        b'0'..=b'9' => Some(number * 10 + i64::from(digit - b'0')),
        _ => None,
    })
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(is_leap(year)),
        _ => 31,
    }
}

/// Days since 1 January 1970.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let before = year - 1;
    let leaps = before / 4 - before / 100 + before / 400;
    let months: i64 = (1..month).map(|month| days_of(year, month)).sum();
    // 719,162 days lie between 1 January of the years 1 and 1970; the year 0 has 366.
    let years = if year == 0 { -366 } else { before * 365 + leaps };
    years + months + day - 1 - 719_162
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shortest_form_is_read() {
        let read = |bytes: &[u8]| Reader::only(bytes, OCTET_STRING).map(<[u8]>::len);
        assert_eq!(read(&[4, 1, 9]), Some(1));
        assert_eq!(read(&[&[4, 0x81, 0x80][..], &[0; 0x80]].concat()), Some(0x80));
        for wrong in [
            &[4, 2, 9][..],
            &[4, 1, 9, 9],
            &[4, 0x81, 1, 9],
            &[4, 0x82, 0, 0x80],
            &[4, 0x80, 9, 0, 0],
            &[4, 0x85, 0, 0, 0, 0, 1, 9],
            &[4, 0xff],
            &[0x1f, 4, 1, 9],
            &[4],
            &[],
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
        assert!(!is_integer(&[0, 1]) && !is_integer(&[0xff, 0xff]) && !is_integer(&[]));
        assert!(is_integer(&[0, 0x80]) && is_integer(&[0xff, 0x7f]) && is_integer(&[0]));
    }

    #[test]
    fn values_are_what_their_tags_say() {
        let any = |bytes: &[u8]| Reader::new(bytes).any().is_some();
        for good in [&[5, 0][..], &[6, 2, 0x88, 0x37], &[0x1e, 2, 0, 9], &[3, 1, 0], &[1, 1, 0]] {
            assert!(any(good), "{good:?}");
        }
        for wrong in [
            &[5, 1, 0][..],
            &[6, 2, 0x80, 1],
            &[6, 1, 0x88],
            &[6, 0],
            &[0x1e, 1, 9],
            &[3, 0],
            &[1, 0],
        ] {
            assert!(!any(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn times_are_counted_from_1970() {
        let short = |text: &str| time(UTC_TIME, text.as_bytes());
        let long = |text: &str| time(GENERALIZED_TIME, text.as_bytes());
        assert_eq!(short("700101000000Z"), Some(0));
        assert_eq!(short("000229235959Z"), Some(951_868_799));
        assert_eq!(short("491231235959Z"), long("20491231235959Z"));
        assert_eq!(short("500101000000Z"), long("19500101000000Z"));
        assert_eq!(long("99991231235959Z"), Some(253_402_300_799));
        assert_eq!(long("00000101000000Z"), Some(-62_167_219_200));
        for wrong in
            ["010229000000Z", "011301000000Z", "010100000060Z", "0101010000Z", "01010100000 Z"]
        {
            assert_eq!(short(wrong), None, "{wrong}");
        }
        assert_eq!(long("20010101000000+0100"), None);
    }
}
