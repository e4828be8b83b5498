//! Fields to be sent: always as literals that no table keeps, so that any bytes can be sent.

/// The block of these fields, literals without indexing (RFC 7541, section 6.2.2).
pub(crate) fn literals<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        string(&mut block, name.as_ref());
        string(&mut block, value.as_ref());
    }
    block
}

/// A literal that no table may keep.
pub(crate) fn marked_literal(name: &str, value: &str) -> Vec<u8> {
    let mut block = literals(&[(name, value)]);
    block[0] = 0x10;
    block
}

/// A string without Huffman coding.
fn string(block: &mut Vec<u8>, bytes: &[u8]) {
    number(block, bytes.len());
    block.extend_from_slice(bytes);
}

/// An integer with a prefix of 7 bits (RFC 7541, section 5.1).
fn number(block: &mut Vec<u8>, number: usize) {
    const PREFIX: usize = 127;
    if number < PREFIX {
        block.push(number as u8);
        return;
    }
    block.push(PREFIX as u8);
    let mut rest = number - PREFIX;
    while rest >= 128 {
        block.push((rest % 128 + 128) as u8);
        rest /= 128;
    }
    block.push(rest as u8);
}

/// The fields of a request, with additional ones as `name: value` lines.
pub(crate) fn request(method: &str, path: &str, lines: &str) -> Vec<(String, String)> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut fields = vec![
        pair(":method", method),
        pair(":scheme", "http"),
        pair(":path", path),
        pair(":authority", "localhost"),
    ];
    for line in lines.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").expect("lines are name: value");
        fields.push(pair(name, value));
    }
    fields
}
