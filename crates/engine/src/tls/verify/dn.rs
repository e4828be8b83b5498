//! Distinguished names in the form that OpenSSL compares.

use super::super::der::{
    BIT_STRING, BMP_STRING as BMP, Reader, SEQUENCE, SET, UNIVERSAL_STRING as UNIVERSAL,
};

/// `commonName`.
pub(in super::super) const COMMON_NAME: &[u8] = &[0x55, 4, 3];
/// `emailAddress` of PKCS #9.
pub(super) const EMAIL: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];

const UTF8: u8 = 0x0c;
const NUMERIC: u8 = 0x12;
const PRINTABLE: u8 = 0x13;
const T61: u8 = 0x14;
pub(super) const IA5: u8 = 0x16;

/// An attribute of a name: its type and its tagged value.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Attribute<'a> {
    pub(in super::super) id: &'a [u8],
    pub(in super::super) tag: u8,
    pub(in super::super) value: &'a [u8],
    /// The value's encoding, tag and length included.
    pub(in super::super) whole: &'a [u8],
}

/// The relative distinguished names of a name, each with its attributes; `None` if malformed.
/// `name` lacks its tag.
pub(in super::super) fn parts(name: &[u8]) -> Option<Vec<Vec<Attribute<'_>>>> {
    Reader::new(name).each(SET).map(|part| attributes(part?)).collect()
}

/// The attributes of a relative distinguished name.
fn attributes(part: &[u8]) -> Option<Vec<Attribute<'_>>> {
    Reader::new(part).each(SEQUENCE).map(|pair| attribute(pair?)).collect()
}

fn attribute(pair: &[u8]) -> Option<Attribute<'_>> {
    let mut pair = Reader::new(pair);
    let id = pair.oid()?;
    let value = pair.any()?;
    pair.end()?;
    let known = matches!(
        value.tag,
        BIT_STRING | UTF8 | SEQUENCE | NUMERIC | PRINTABLE | T61 | IA5 | UNIVERSAL | BMP
    );
    known.then_some(Attribute { id, tag: value.tag, value: value.body, whole: value.whole })
}

/// A canonical form of a name, given without its tag: equal for names that OpenSSL considers equal,
/// and a prefix of the form of every name below. String types, ASCII case and the amount of
/// whitespace do not matter (RFC 5280 section 7.1). `None` if the name is malformed or contains
/// invalid characters.
pub(super) fn canonical(name: &[u8]) -> Option<Box<[u8]>> {
    let mut out = Vec::with_capacity(name.len());
    for part in parts(name)? {
        add_part(&mut out, &part)?;
    }
    Some(out.into())
}

/// The canonical form of a relative distinguished name, given without its tag.
pub(super) fn canonical_part(part: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(part.len());
    add_part(&mut out, &attributes(part)?)?;
    Some(out)
}

fn add_part(out: &mut Vec<u8>, part: &[Attribute<'_>]) -> Option<()> {
    // An empty one is left out.
    if part.is_empty() {
        return Some(());
    }
    let mut pairs = Vec::with_capacity(part.len());
    for attribute in part {
        let mut pair = Vec::with_capacity(attribute.whole.len() + attribute.id.len() + 16);
        add(&mut pair, attribute.id);
        add_value(&mut pair, attribute)?;
        pairs.push(pair);
    }
    pairs.sort();
    add(out, &pairs.concat());
    Some(())
}

/// Appends bytes with their length, so that the encoding is unambiguous.
fn add(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
}

fn add_value(out: &mut Vec<u8>, attribute: &Attribute<'_>) -> Option<()> {
    // Other types than the strings compared as text are compared bytewise.
    if matches!(attribute.tag, BIT_STRING | SEQUENCE | NUMERIC) {
        out.push(attribute.tag);
        add(out, attribute.value);
        return Some(());
    }
    let text = text(attribute.tag, attribute.value)?;
    out.push(UTF8);
    let words = text.as_bytes().split(|byte| is_space(*byte)).filter(|word| !word.is_empty());
    let start = out.len();
    out.extend([0; 4]);
    for (at, word) in words.enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        out.extend(word.iter().map(u8::to_ascii_lowercase));
    }
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Some(())
}

/// Whitespace as in C, vertical tab included.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Decodes a string by its type; `None` if it contains invalid characters.
pub(in super::super) fn text(tag: u8, value: &[u8]) -> Option<String> {
    match tag {
        UTF8 => Some(std::str::from_utf8(value).ok()?.to_owned()),
        // Two or four bytes per character, without surrogate pairs.
        BMP => characters(value, 2),
        UNIVERSAL => characters(value, 4),
        // All others are read as Latin-1.
        NUMERIC | PRINTABLE | T61 | IA5 => Some(value.iter().map(|&b| char::from(b)).collect()),
        _ => None,
    }
}

fn characters(value: &[u8], width: usize) -> Option<String> {
    let chunks = value.chunks_exact(width);
    if !chunks.remainder().is_empty() {
        return None;
    }
    chunks
        .map(|bytes| {
            let number = bytes.iter().fold(0, |number, &byte| number << 8 | u32::from(byte));
            char::from_u32(number)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::der::OID;
    use super::*;

    fn tlv(tag: u8, body: &[u8]) -> Vec<u8> {
        [&[tag, body.len() as u8], body].concat()
    }

    fn part(pairs: &[(u8, u8, &[u8])]) -> Vec<u8> {
        let pair = |(id, tag, value): &(u8, u8, &[u8])| {
            tlv(SEQUENCE, &[tlv(OID, &[0x55, 4, *id]), tlv(*tag, value)].concat())
        };
        tlv(SET, &pairs.iter().flat_map(pair).collect::<Vec<_>>())
    }

    fn one(tag: u8, value: &[u8]) -> Option<Box<[u8]>> {
        canonical(&part(&[(3, tag, value)]))
    }

    #[test]
    fn string_types_do_not_matter() {
        let plain = one(UTF8, "caf\u{e9} \u{df}".as_bytes()).unwrap();
        for same in [
            one(UTF8, "  CAF\u{e9}\t \u{df} ".as_bytes()),
            one(PRINTABLE, b"caf\xe9 \xdf"),
            one(IA5, b"Caf\xe9  \xdf"),
            one(T61, b"cAf\xe9\x0b\xdf"),
            one(BMP, b"\0c\0a\0f\0\xe9\0 \0\xdf"),
            one(UNIVERSAL, b"\0\0\0c\0\0\0a\0\0\0f\0\0\0\xe9\0\0\0 \0\0\0\xdf"),
        ] {
            assert_eq!(same.as_ref(), Some(&plain));
        }
        // Only ASCII letters ignore case.
        assert_ne!(one(UTF8, "caf\u{c9} \u{df}".as_bytes()).unwrap(), plain);
        assert_ne!(one(NUMERIC, b"12"), one(PRINTABLE, b"12"));
    }

    #[test]
    fn undecodable_names_are_rejected() {
        for (tag, value) in [
            (UTF8, &b"\xff"[..]),
            (UTF8, b"\xed\xa0\x80"),
            (BMP, b"\0a\0"),
            (BMP, b"\xd8\x00\xdc\x00"),
            (UNIVERSAL, b"\0\0\0"),
            (UNIVERSAL, b"\0\x11\0\0"),
            (0x1a, b"visible"),
            (0x1b, b"general"),
            (0x04, b"octets"),
        ] {
            assert_eq!(one(tag, value), None, "{tag} {value:?}");
        }
    }

    #[test]
    fn a_name_is_a_prefix_of_those_below() {
        let above = part(&[(10, UTF8, b"a")]);
        let below = [above.clone(), part(&[(3, UTF8, b"ab")])].concat();
        let aside = part(&[(10, UTF8, b"ab")]);
        let canonical = |name: &[u8]| canonical(name).unwrap();
        assert!(canonical(&below).starts_with(&canonical(&above)));
        assert!(!canonical(&aside).starts_with(&canonical(&above)));
        let both = part(&[(10, UTF8, b"a"), (11, UTF8, b"b")]);
        assert_eq!(canonical(&both), canonical(&part(&[(11, UTF8, b"B"), (10, UTF8, b"a")])));
        assert!(!canonical(&both).starts_with(&canonical(&above)));
    }
}
