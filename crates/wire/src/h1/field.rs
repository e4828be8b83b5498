//! A single header line.

use crate::header::{is_clean_value, is_control};

/// A line's name and value, as offsets into the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name_end: usize,
    pub(super) value_start: usize,
    pub(super) value_end: usize,
    /// The name has an illegal byte, or there is no colon.
    pub(super) invalid: bool,
}

/// The offset of a byte that is illegal in header lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadByte(pub(super) usize);

const NAME: u8 = 0;
const UNDERSCORE: u8 = 1;
const COLON: u8 = 2;
const BAD: u8 = 3;
const ODD: u8 = 4;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [ODD; 256];
    let mut i = 0;
    while i < 256 {
        let byte = i as u8;
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            table[i] = NAME;
        } else if byte <= b' ' || byte == 0x7f {
            table[i] = BAD;
        }
        i += 1;
    }
    table[b'_' as usize] = UNDERSCORE;
    table[b':' as usize] = COLON;
    table
}

/// Whether a byte is allowed in tokens (RFC 9110 section 5.6.2), such as names of fields and
/// extensions.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Parses a non-empty line without its LF. The value excludes surrounding spaces (but not tabs,
/// which nginx passes on) and trailing CRs.
///
/// Control bytes in a value are refused, though nginx allows most: no application needs them, and
/// parsers behind the proxy disagree about them.
#[inline]
pub(super) fn parse(line: &[u8], underscores: bool) -> Result<Field, BadByte> {
    let mut invalid = false;
    let mut at = 0;
    loop {
        at += line[at..].iter().take_while(|&&byte| CLASS[byte as usize] == NAME).count();
        let Some(&byte) = line.get(at) else {
            return without_colon(line, at);
        };
        match CLASS[byte as usize] {
            UNDERSCORE => invalid |= !underscores,
            COLON if at > 0 => break,
            ODD => invalid = true,
            _ if byte == b'\r' && at > 0 => return without_colon(line, at),
            _ => return Err(BadByte(at)),
        }
        at += 1;
    }
    let mut end = line.len();
    while end > at + 1 && line[end - 1] == b'\r' {
        end -= 1;
    }
    let start = at + 1;
    let value = &line[start..end];
    if !is_clean_value(value) {
        let bad = value.iter().position(|&byte| is_control(byte)).unwrap_or(0);
        return Err(BadByte(start + bad));
    }
    let lead = value.iter().take_while(|&&byte| byte == b' ').count();
    let tail = value[lead..].iter().rev().take_while(|&&byte| byte == b' ').count();
    Ok(Field { name_end: at, value_start: start + lead, value_end: end - tail, invalid })
}

/// A line without a colon is a name only; nothing but CRs may follow it.
#[cold]
fn without_colon(line: &[u8], at: usize) -> Result<Field, BadByte> {
    match line[at..].iter().position(|&byte| byte != b'\r') {
        Some(other) => Err(BadByte(at + other)),
        None => Ok(Field { name_end: at, value_start: at, value_end: at, invalid: true }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Result<(&str, &str, bool), usize> {
        let field = parse(line.as_bytes(), false).map_err(|bad| bad.0)?;
        let value = &line[field.value_start..field.value_end];
        Ok((&line[..field.name_end], value, field.invalid))
    }

    #[test]
    fn lines() {
        assert_eq!(run("A: b\r"), Ok(("A", "b", false)));
        assert_eq!(run("A:b"), Ok(("A", "b", false)));
        assert_eq!(run("A:   b  c  \r\r"), Ok(("A", "b  c", false)));
        assert_eq!(run("A:\tb\t"), Ok(("A", "\tb\t", false)));
        assert_eq!(run("A:\r"), Ok(("A", "", false)));
        assert_eq!(run("A:   \r"), Ok(("A", "", false)));
        assert_eq!(run("A_b: c"), Ok(("A_b", "c", true)));
        assert_eq!(run("A/é: c"), Ok(("A/é", "c", true)));
        assert_eq!(run("nothing\r"), Ok(("nothing", "", true)));
        assert_eq!(run("A : b"), Err(1));
        assert_eq!(run(" A: b"), Err(0));
        assert_eq!(run("\tA: b"), Err(0));
        assert_eq!(run(": b"), Err(0));
        assert_eq!(run("A\0: b"), Err(1));
        assert_eq!(run("A: b\0c"), Err(4));
        assert_eq!(run("A: b\rc\r"), Err(4));
        assert_eq!(run("A: b\x7f"), Err(4));
        assert_eq!(run("A\rb"), Err(2));
    }
}
