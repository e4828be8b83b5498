//! The head of a request over HTTP/2, which is written as lines like one over HTTP/1, so that all
//! protocols share the rules for fields: pseudo-fields first (`:method: GET`), then fields.

use weir_wire::h2::hpack::BlockWriter;
use weir_wire::header::Known;

/// Writes the fields of a head into a block. Those that HTTP/2 does not have are left out (RFC 9113
/// section 8.2.2).
pub(super) fn write(head: &[u8], block: &mut BlockWriter<'_>) {
    for (name, value) in lines(head) {
        let known = match name.first() {
            Some(b':') => Known::Other,
            _ => Known::from_name(name),
        };
        match known {
            Known::Te if !value.eq_ignore_ascii_case(b"trailers") => {}
            Known::Host => {}
            known if Known::CONNECTION_SPECIFIC.contains(known) => {}
            Known::Other => block.field(name, value),
            known => block.known(known, value),
        }
    }
}

/// Names and values of lines.
fn lines(mut head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let end = head.iter().position(|&byte| byte == b'\r')?;
        let (line, rest) = head.split_at(end);
        head = rest.get(2..).unwrap_or_default();
        // The first colon of a pseudo-field belongs to its name.
        let colon = line.iter().skip(1).position(|&byte| byte == b':')? + 1;
        Some((&line[..colon], line.get(colon + 2..).unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
