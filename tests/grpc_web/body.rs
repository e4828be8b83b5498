//! Bodies by hand.

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A frame: flags, length, content.
pub(super) fn frame(flags: u8, content: &[u8]) -> Vec<u8> {
    [&[flags], &(content.len() as u32).to_be_bytes()[..], content].concat()
}

/// A message.
pub(super) fn message(content: &[u8]) -> Vec<u8> {
    frame(0, content)
}

/// The frames of a body with their flags.
#[track_caller]
pub(super) fn frames(mut body: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while !body.is_empty() {
        let (head, rest) = body.split_at(5);
        let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
        let (content, rest) = rest.split_at(length);
        found.push((head[0], content.to_vec()));
        body = rest;
    }
    found
}

/// Base64 with padding.
pub(super) fn base64(bytes: &[u8]) -> Vec<u8> {
    let four = |three: &[u8]| {
        let at = |place: usize| u32::from(three.get(place).copied().unwrap_or_default());
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        let character = |shift: u32| ALPHABET[(bits >> shift & 63) as usize];
        let mut four = [18, 12, 6, 0].map(character).to_vec();
        four.truncate(three.len() + 1);
        four.resize(4, b'=');
        four
    };
    bytes.chunks(3).flat_map(four).collect()
}

/// What texts in a row stand for, with padding anywhere.
#[track_caller]
pub(super) fn unbase64(text: &[u8]) -> Vec<u8> {
    assert_eq!(text.len() % 4, 0, "{}", String::from_utf8_lossy(text));
    let three = |four: &[u8]| {
        let value = |byte: u8| ALPHABET.iter().position(|&other| other == byte).unwrap_or(0) as u32;
        let bits = four.iter().fold(0, |bits, &byte| bits << 6 | value(byte));
        let padding = four.iter().filter(|&&byte| byte == b'=').count();
        bits.to_be_bytes()[1..4 - padding].to_vec()
    };
    text.chunks(4).flat_map(three).collect()
}
