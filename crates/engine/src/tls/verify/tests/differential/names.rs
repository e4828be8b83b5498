//! Names in all string types.

use fastrand::Rng;

use super::super::forge::{extension, tlv};

const COMMON: [u8; 3] = [0x55, 4, 3];
const ORGANISATION: [u8; 3] = [0x55, 4, 10];
const UNIT: [u8; 3] = [0x55, 4, 11];
const EMAIL: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];

/// Tags of general names.
pub(super) const OTHER: u8 = 0xa0;
pub(super) const MAIL: u8 = 0x81;
pub(super) const HOST: u8 = 0x82;
pub(super) const DIRECTORY: u8 = 0xa4;
pub(super) const LINK: u8 = 0x86;
pub(super) const ADDRESS: u8 = 0x87;
pub(super) const REGISTERED: u8 = 0x88;

pub(super) fn pick<T: Copy>(rng: &mut Rng, all: &[T]) -> T {
    all[rng.usize(..all.len())]
}

/// A random choice of byte strings.
pub(super) fn bytes<'a>(rng: &mut Rng, all: &[&'a [u8]]) -> &'a [u8] {
    pick(rng, all)
}

/// A string in a type that OpenSSL considers equal, with random case and whitespace.
fn string(rng: &mut Rng, text: &str) -> Vec<u8> {
    let text: String = text
        .chars()
        .map(|one| if rng.u8(..4) == 0 { one.to_ascii_uppercase() } else { one })
        .collect();
    let text = match rng.u8(..12) {
        0 => format!(" {text}"),
        1 => format!("{text} \t "),
        2 => text.replace(' ', "  "),
        _ => text,
    };
    typed(pick(rng, &[0x0c, 0x0c, 0x13, 0x14, 0x16, 0x1c, 0x1e]), &text)
}

/// A string in the type of this tag.
pub(super) fn typed(tag: u8, text: &str) -> Vec<u8> {
    let wide = |width: usize| -> Vec<u8> {
        text.chars().flat_map(|one| (one as u32).to_be_bytes()[4 - width..].to_vec()).collect()
    };
    let bytes = match tag {
        0x0c => text.as_bytes().to_vec(),
        0x1c => wide(4),
        0x1e => wide(2),
        // All others are Latin-1 or not comparable.
        _ => wide(1),
    };
    tlv(tag, &bytes)
}

fn pair(id: &[u8], value: &[u8]) -> Vec<u8> {
    tlv(0x30, &[tlv(6, id), value.to_vec()].concat())
}

fn part(pairs: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x31, &pairs.concat())
}

/// The name of authority `who`: always equal, with random spelling.
pub(super) fn of(rng: &mut Rng, who: usize) -> Vec<u8> {
    let organisation = pair(&ORGANISATION, &string(rng, "caf\u{e9} org"));
    let unit =
        pair(&UNIT, &string(rng, if who.is_multiple_of(2) { "unit one" } else { "\u{fc}nit" }));
    let common = pair(&COMMON, &string(rng, &format!("some {who}")));
    let parts = match who % 4 {
        0 => vec![part(&[organisation]), part(&[common])],
        1 => vec![part(&[organisation]), part(&[unit]), part(&[common])],
        2 if rng.bool() => vec![part(&[organisation]), part(&[common, unit])],
        2 => vec![part(&[organisation]), part(&[unit, common])],
        _ => vec![part(&[common])],
    };
    tlv(0x30, &parts.concat())
}

/// The name of a leaf, possibly with hosts and mailboxes.
pub(super) fn of_leaf(rng: &mut Rng, at: usize) -> Vec<u8> {
    let host = pick(rng, &["x.a.test", "b.test", "host", "a-.test", "_x.a.test", "*.a.test"]);
    let mail = pick(rng, &["me@a.test", "me@b.test", "nobody"]);
    let mut parts = vec![part(&[pair(&ORGANISATION, &string(rng, "caf\u{e9} org"))])];
    match rng.u8(..16) {
        0..=5 => parts.push(part(&[pair(&COMMON, &string(rng, host).to_vec())])),
        6 => parts.push(part(&[pair(&COMMON, &typed(0x14, "x.a.test\0"))])),
        7 => parts.push(part(&[pair(&COMMON, &typed(0x1e, "x.a\0.test"))])),
        8 => {
            parts.push(part(&[pair(&COMMON, &string(rng, host))]));
            parts.push(part(&[pair(&EMAIL, &typed(pick(rng, &[0x16, 0x16, 0x0c, 0x14]), mail))]));
        }
        9 => parts.clear(),
        10 => parts.push(part(&[pair(&UNIT, &string(rng, "unit one"))])),
        _ => parts.push(part(&[pair(&COMMON, &string(rng, &format!("leaf {at}")))])),
    }
    tlv(0x30, &parts.concat())
}

/// A malformed name.
pub(super) fn broken(rng: &mut Rng) -> Vec<u8> {
    let value = match rng.u8(..9) {
        0 => tlv(0x0c, b"\xff\xfe"),
        1 => tlv(0x1e, b"\0a\0"),
        2 => tlv(0x1c, b"\0\0\0"),
        3 => tlv(0x1e, b"\xd8\0\xdc\0"),
        4 => tlv(0x1c, b"\0\x11\0\0"),
        5 => tlv(0x1b, b"general"),
        6 => tlv(0x0c, b"\xed\xa0\x80"),
        7 => tlv(0x12, b"12 3"),
        _ => tlv(0x03, b"\0bits"),
    };
    tlv(0x30, &part(&[pair(&COMMON, &value)]))
}

/// A random alternative name.
pub(super) fn alternative(rng: &mut Rng) -> Vec<u8> {
    let (tag, value): (u8, &[u8]) = match rng.u8(..20) {
        0..=5 => (
            HOST,
            bytes(
                rng,
                &[
                    b"a.test",
                    b"x.a.test",
                    b"b.test",
                    b"A.Test",
                    b"xa.test",
                    b"",
                    b".a.test",
                    b"*.a.test",
                    b"x.y.a.test",
                    b"a.test.",
                    b"f*.a.test",
                    b"x\xe9.a.test",
                ],
            ),
        ),
        6..=8 => (
            MAIL,
            bytes(
                rng,
                &[
                    b"me@a.test",
                    b"Me@x.a.test",
                    b"me@b.test",
                    b"nobody",
                    b"@a.test",
                    b"m\0@a.test",
                    b"a@b@a.test",
                    b"\"a@b\"@A.test",
                    b"",
                ],
            ),
        ),
        9..=11 => {
            (ADDRESS, bytes(rng, &[&[10, 1, 2, 3], &[11, 1, 2, 3], &[1, 2, 3], &[0x20; 16], &[]]))
        }
        12..=14 => (
            LINK,
            bytes(
                rng,
                &[
                    b"http://a.test/x",
                    b"http://x.a.test:80/",
                    b"a.test",
                    b"urn:x",
                    b"http://",
                    b"x://b.test",
                    b"http://A.TEST",
                    b"http://u@a.test:1/",
                    b"::://a.test",
                ],
            ),
        ),
        15 | 16 => return tlv(DIRECTORY, &of(rng, 2)),
        17 => {
            let utf8 = tlv(0xa0, &tlv(0x0c, "m\u{e9}@a.test".as_bytes()));
            return tlv(OTHER, &[&[6, 8, 0x2b, 6, 1, 5, 5, 7, 8, 9][..], &utf8].concat());
        }
        18 => return other(rng),
        _ => (REGISTERED, &[0x2a, 3, 4]),
    };
    tlv(tag, value)
}

/// A name of an unknown kind.
fn other(rng: &mut Rng) -> Vec<u8> {
    tlv(OTHER, &[&[6, 2, 0x2a, rng.u8(3..5)][..], &tlv(0xa0, &tlv(0x0c, b"x"))].concat())
}

/// A subtree, sometimes with bounds.
fn subtree(rng: &mut Rng) -> Vec<u8> {
    let (tag, value): (u8, &[u8]) = match rng.u8(..16) {
        0..=4 => (HOST, bytes(rng, &[b"a.test", b".a.test", b"test", b"", b"B.test"])),
        5 | 6 => (
            MAIL,
            bytes(rng, &[b"a.test", b".a.test", b"me@a.test", b"Me@a.test", b"@a.test", b""]),
        ),
        7 | 8 => (
            ADDRESS,
            bytes(
                rng,
                &[
                    &[10, 0, 0, 0, 255, 0, 0, 0],
                    &[11, 1, 2, 3, 255, 0, 255, 0],
                    &[0; 32],
                    &[10, 0, 0, 0],
                ],
            ),
        ),
        9 | 10 => (LINK, bytes(rng, &[b"a.test", b".a.test", b"", b"A.test"])),
        11 | 12 => return tlv(0x30, &tlv(DIRECTORY, &head(rng))),
        13 => return tlv(0x30, &other(rng)),
        14 => (REGISTERED, &[0x2a, 3]),
        _ => {
            let bound = bytes(rng, &[&[0x80, 1, 0], &[0x80, 1, 1], &[0x81, 1, 3]]);
            return tlv(0x30, &[&tlv(HOST, b"a.test"), bound].concat());
        }
    };
    tlv(0x30, &tlv(tag, value))
}

/// A common prefix of the names.
fn head(rng: &mut Rng) -> Vec<u8> {
    let text = pick(rng, &["caf\u{e9} org", "caf\u{e9} org", "caf\u{e9}", "elsewhere"]);
    tlv(0x30, &part(&[pair(&ORGANISATION, &string(rng, text))]))
}

/// The extension of alternative names.
pub(super) fn alternatives(rng: &mut Rng) -> Vec<u8> {
    let names: Vec<u8> = (0..rng.usize(1..4)).flat_map(|_| alternative(rng)).collect();
    extension(super::super::forge::ID_ALTERNATIVE, rng.u8(..4) == 0, &tlv(0x30, &names))
}

/// The extension of name constraints.
pub(super) fn constraints(rng: &mut Rng) -> Vec<u8> {
    let mut trees = |tag: u8, most: usize| {
        let trees: Vec<u8> = (0..rng.usize(..=most)).flat_map(|_| subtree(rng)).collect();
        if trees.is_empty() { trees } else { tlv(tag, &trees) }
    };
    let value = [trees(0xa0, 2), trees(0xa1, 2)].concat();
    extension(super::super::forge::ID_NAME_CONSTRAINTS, true, &tlv(0x30, &value))
}
