//! An encoder and a decoder, and broken blocks.

use super::*;

struct Pair {
    encoder: Encoder,
    decoder: Decoder,
}

impl Pair {
    fn new(size: u32) -> Self {
        Self { encoder: Encoder::new(size), decoder: Decoder::new(4096) }
    }

    /// Sends a response; returns the length of its block.
    fn send(&mut self, status: u16, fields: &[(&str, &str)]) -> usize {
        let mut block = Vec::new();
        let mut writer = self.encoder.block(&mut block);
        writer.status(status);
        let mut expected = vec![(":status".to_owned(), status.to_string())];
        for (name, value) in fields {
            writer.field(name.as_bytes(), value.as_bytes());
            expected.push((name.to_ascii_lowercase(), (*value).to_owned()));
        }
        assert_eq!(decode(&mut self.decoder, &block), Ok(expected));
        block.len()
    }
}

const USUAL: &[(&str, &str)] = &[
    ("Server", "nginx"),
    ("Date", "Mon, 21 Oct 2013 20:13:21 GMT"),
    ("Content-Type", "text/html; charset=utf-8"),
    ("X-Not-Known", "once upon a time"),
    ("X-Request-ID", "7d2f"),
];

#[test]
fn what_recurs_becomes_one_byte() {
    let mut pair = Pair::new(4096);
    let first = pair.send(200, USUAL);
    assert!(first > 60);
    let second = pair.send(200, USUAL);
    assert!(second <= first && second > 60, "now they are put into the table");
    assert_eq!(pair.send(200, USUAL), 1 + USUAL.len());
    assert_eq!(pair.send(302, &[]), 4);
    assert_eq!(pair.send(302, &[]), 4);
    assert_eq!(pair.send(302, &[]), 1);
}

/// A name that is in no static table is sent twice, whatever its values.
#[test]
fn a_name_that_recurs_becomes_an_index() {
    let mut pair = Pair::new(4096);
    let long = pair.send(200, &[("x-not-known-at-all", "1")]);
    assert_eq!(pair.send(200, &[("X-Not-Known-At-All", "2")]), long);
    assert_eq!(pair.send(200, &[("x-not-known-at-all", "3")]), 1 + 2 + 2);
}

#[test]
fn secrets_are_never_indexed() {
    let mut pair = Pair::new(4096);
    for _ in 0..4 {
        pair.send(200, &[("Set-Cookie", "a=b"), ("cookie", "c"), ("Authorization", "x")]);
        pair.send(200, &[("proxy-authorization", "x")]);
    }
    assert_eq!(pair.encoder.table_len(), 0);
    let mut block = Vec::new();
    pair.encoder.block(&mut block).sensitive(b"X-Key", b"0");
    assert_eq!(block[0], 0x10);
    assert_eq!(decode(&mut pair.decoder, &block), Ok(vec![("x-key".into(), "0".into())]));
    block.clear();
    pair.encoder.block(&mut block).field(b"Set-Cookie", b"0");
    assert_eq!(block[..2], [0x0f, 55 - 15], "without the mark, which few clients know");
}

#[test]
fn the_peer_decides_on_the_size() {
    let mut pair = Pair::new(4096);
    for _ in 0..3 {
        pair.send(200, USUAL);
    }
    // No table: the peer is told, and a decoder that requires it is content.
    pair.encoder.set_peer_limit(0);
    pair.decoder.set_size(0);
    let none = pair.send(200, USUAL);
    assert!(none > 60);
    assert_eq!(pair.send(200, USUAL), none - 1);
    // There and back between two blocks: both sizes are told.
    pair.encoder.set_peer_limit(4096);
    pair.decoder.set_size(4096);
    for _ in 0..3 {
        pair.send(200, USUAL);
    }
    assert_eq!(pair.send(200, USUAL), 1 + USUAL.len());
    for size in [0, 65_536, 1000] {
        pair.encoder.set_peer_limit(size);
        pair.decoder.set_size(size.min(TABLE_MAX));
    }
    let mut block = Vec::new();
    pair.encoder.block(&mut block).status(200);
    assert_eq!(block, [0x20, 0x3f, 0xc9, 7, 0x88]);
    assert!(decode(&mut pair.decoder, &block).is_ok());
    // More than our own share of memory is not used.
    pair.encoder.set_peer_limit(1 << 20);
    block.clear();
    pair.encoder.block(&mut block).status(200);
    assert_eq!(block, [0x3f, 0xe1, 0x1f, 0x88]);
}

/// A small table of our own needs no word to the peer.
#[test]
fn our_own_size_is_kept() {
    let mut pair = Pair::new(100);
    for n in 0..300 {
        pair.send(200, &[("x-a", &format!("{}", n / 3)), ("x-b", &format!("{}", n % 7 / 2))]);
        assert!(pair.encoder.table_len() <= 2);
    }
    let mut pair = Pair::new(0);
    let first = pair.send(200, USUAL);
    for _ in 0..3 {
        assert_eq!(pair.send(200, USUAL), first);
    }
}

#[test]
fn broken_blocks() {
    for (block, reason) in [
        (&[0x80][..], "the index 0"),
        (&[0xbe], "an index beyond the table"),
        (&[0xff, 0x80, 0x80, 0x80, 0x7f], "an index beyond the table"),
        (&[0x7e, 1, b'a'], "an index beyond the table"),
        (&[0xff, 0x80], "the block ends in an integer"),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f], "too large an integer"),
        (&[0x82, 0x20], "a size update after a field"),
        (&[0x3f, 0xe2, 0x1f], "a size update beyond the setting"),
        (&[0x40], "the block ends in a field"),
        (&[0x40, 1, b'a'], "the block ends in a field"),
        (&[0x40, 2, b'a'], "a string goes beyond the end of the block"),
        (&[0x44, 0x81, 0], "a string's padding is not all ones"),
        (&[0x44, 0x84, 0xff, 0xff, 0xff, 0xff], "a string has the code of its end"),
    ] {
        assert_eq!(decode(&mut Decoder::new(4096), block), Err(HpackError(reason)), "{block:?}");
    }
}

#[test]
fn padding_of_a_string_has_the_length_that_is_allowed() {
    let long = HpackError("a string has too many bits of padding, or is cut");
    for block in [&[0x44, 0x82, 0x07, 0xff][..], &[0x40, 0x82, 0x07, 0xff, 1, b'a']] {
        let mut decoder = Decoder::new(4096);
        assert_eq!(decode(&mut decoder, block), Err(long), "{block:?}");
        decoder.allow_long_padding();
        assert_eq!(decode(&mut decoder, block).map(|fields| fields.len()), Ok(1), "{block:?}");
    }
}

#[test]
fn fields_keep_the_mark_of_what_no_table_may_keep() {
    let mut fields = FieldBlock::default();
    let (marked, plain, inserted) = (b"\x10\x01a\x01b", b"\x00\x01a\x01b", b"\x40\x01a\x01b");
    let block = [&marked[..], plain, inserted, b"\x14\x01/", b"\xbe"].concat();
    Decoder::new(4096).decode(&block, &WIDE, &mut fields).expect("valid");
    let marks: Vec<_> = fields.entries().iter().map(|entry| entry.never_indexed).collect();
    assert_eq!(marks, [true, false, false, true, false]);
}

#[test]
fn a_lowered_setting_requires_a_size_update() {
    let mut decoder = Decoder::new(4096);
    assert!(decode(&mut decoder, &[0x82]).is_ok());
    decoder.set_size(100);
    decoder.set_size(5000);
    assert_eq!(decode(&mut decoder, &[]), Ok(vec![]), "nothing is said");
    let missing = HpackError("no size update, though the table's size was lowered");
    assert_eq!(decode(&mut decoder, &[0x82]), Err(missing));
    assert_eq!(decode(&mut decoder, &[0x3f, 0x45, 0x3f, 0xe1, 0x1f, 0x82]).map(|f| f.len()), Ok(1));
    decoder.set_size(8000);
    assert!(decode(&mut decoder, &[0x82]).is_ok(), "raising requires nothing");
}

/// A large field of the table, named again and again: what exceeds the limits costs nothing and is
/// not stored, but the table goes on.
#[test]
fn a_bomb_fills_the_limit_and_no_more() {
    let mut decoder = Decoder::new(4096);
    let mut block = vec![0x40, 1, b'a', 0x7f, 0x80, 0x17];
    block.extend_from_slice(&[b'v'; 127 + 23 * 128]);
    let mut fields = FieldBlock::default();
    let limits = BlockLimits { bytes: 32_768, fields: 100 };
    decoder.decode(&block, &limits, &mut fields).expect("valid");
    let mut bomb = vec![0xbe; 16_384];
    bomb.extend_from_slice(&[0x40, 1, b'b', 1, b'c']);
    fields.clear();
    decoder.decode(&bomb, &limits, &mut fields).expect("valid");
    assert!(fields.overflowed());
    assert_eq!(fields.entries().len(), 10);
    assert!(fields.bytes().len() < 32_768 + 10 * 4);
    assert_eq!(decode(&mut decoder, &[0xbe]), Ok(vec![("b".into(), "c".into())]));
    fields.clear();
    decoder.decode(&[0x82; 101], &limits, &mut fields).expect("valid");
    assert!(fields.overflowed() && fields.entries().len() == 100);
}
