//! The head of a request over HTTP/2, which is written as lines like one over HTTP/1, so that all
//! protocols share the rules for fields: pseudo-fields first (`:method: GET`), then fields.

use memchr::memchr;
use weir_wire::h2::hpack::BlockWriter;
use weir_wire::header::{Headers, Known};

use crate::request::head::Head;

/// Writes the fields of a head into a block. Those that HTTP/2 does not have are left out (RFC 9113
/// section 8.2.2). Those that the client has marked in its own head, `received`, so that no table
/// may keep them, keep their mark (RFC 7541 section 6.2.3).
pub(super) fn write(head: &[u8], received: &Head, block: &mut BlockWriter<'_>) {
    let marked =
        received.target_never_indexed || received.entries.iter().any(|entry| entry.never_indexed);
    put(head, block, |name| marked && is_marked(name, received));
}

/// Writes trailers, some of those that were `received`, likewise.
pub(super) fn write_trailers(lines: &[u8], received: &Headers, block: &mut BlockWriter<'_>) {
    put(lines, block, |name| {
        let mut marked = received.entries().iter().filter(|entry| entry.never_indexed);
        marked.any(|entry| entry.name.of(received.arena()).eq_ignore_ascii_case(name))
    });
}

fn put(head: &[u8], block: &mut BlockWriter<'_>, is_marked: impl Fn(&[u8]) -> bool) {
    for (name, value) in lines(head) {
        let known = match name.first() {
            Some(b':') => Known::Other,
            _ => Known::from_name(name),
        };
        match known {
            Known::Te if !value.eq_ignore_ascii_case(b"trailers") => {}
            Known::Host => {}
            known if Known::CONNECTION_SPECIFIC.contains(known) => {}
            _ if is_marked(name) => block.sensitive(name, value),
            Known::Other => block.other(name, value),
            known => block.known(known, value),
        }
    }
}

/// Whether the client has marked the field of that name.
#[cold]
fn is_marked(name: &[u8], received: &Head) -> bool {
    name == b":path" && received.target_never_indexed
        || received.entries.iter().any(|entry| {
            let own = entry.name.of(received.bytes());
            entry.never_indexed && own.eq_ignore_ascii_case(name)
        })
}

/// Names and values of lines.
fn lines(mut head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let end = memchr(b'\r', head)?;
        let (line, rest) = head.split_at(end);
        head = rest.get(2..).unwrap_or_default();
        // The first colon of a pseudo-field belongs to its name.
        let colon = memchr(b':', line.get(1..)?)? + 1;
        Some((&line[..colon], line.get(colon + 2..).unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use weir_wire::field_block::{BlockLimits, FieldBlock};
    use weir_wire::h2::hpack::{Decoder, Encoder};
    use weir_wire::request::{Limits, RequestFields, RequestHead, Version};

    use super::*;

    const WIDE: BlockLimits = BlockLimits { bytes: 10_000, fields: 100 };

    fn decode(block: &[u8]) -> FieldBlock {
        let mut fields = FieldBlock::default();
        Decoder::new(4096).decode(block, &WIDE, &mut fields).unwrap();
        fields
    }

    /// What the client has marked is marked for the upstream, and nothing else.
    #[test]
    fn fields_that_no_table_may_keep() {
        let mut block = b"\x82\x86\x14\x02/a\x01\x01h".to_vec();
        block.extend_from_slice(b"\x10\x07x-token\x06secret\x00\x07x-other\x04open");
        let (mut builder, mut text) = (RequestFields::new(Version::HTTP_2), Vec::new());
        let limits = Limits::default();
        builder.build(&mut decode(&block), &mut text, &limits, true, |_| None).unwrap();
        let mut found = RequestHead::default();
        builder.swap_head(&mut found);
        let head = Head::new(text.into(), found);
        let lines = b":method: GET\r\n:path: /a\r\nX-Token: secret\r\nx-other: open\r\n\
                      x-set: 1\r\n";
        let mut out = Vec::new();
        write(lines, &head, &mut Encoder::new(4096).block(&mut out));
        let fields = decode(&out);
        let marked = fields.entries().iter().filter(|entry| entry.never_indexed);
        let marked: Vec<_> = marked.map(|entry| entry.name.of(fields.bytes())).collect();
        assert_eq!(marked, [&b":path"[..], b"x-token"]);
        assert_eq!(fields.entries().len(), 5);
        let mut out = Vec::new();
        write(lines, &Head::default(), &mut Encoder::new(4096).block(&mut out));
        assert!(decode(&out).entries().iter().all(|entry| !entry.never_indexed));
    }

    #[test]
    fn lines_are_names_and_values() {
        let head = b":method: GET\r\n:path: /a:b\r\nx-empty: \r\nX-Y: a: b\r\n";
        let found: Vec<_> = lines(head).collect();
        assert_eq!(
            found,
            [
                (&b":method"[..], &b"GET"[..]),
                (b":path", b"/a:b"),
                (b"x-empty", b""),
                (b"X-Y", b"a: b"),
            ]
        );
    }
}
