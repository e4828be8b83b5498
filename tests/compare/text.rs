//! The notation of bytes in files of cases and in the output.

use std::fmt::Write;

/// Decodes a line: `\r`, `\n`, `\t`, `\0`, `\\` and `\xHH` are escapes, and each line ends with
/// `end`, unless its last character is a backslash.
pub(crate) fn bytes(line: &str, end: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match rest.next() {
            None => return out,
            Some(b'r') => out.push(b'\r'),
            Some(b'n') => out.push(b'\n'),
            Some(b't') => out.push(b'\t'),
            Some(b'0') => out.push(0),
            Some(b'x') => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let digits = String::from_utf8_lossy(&digits).into_owned();
                let value = u8::from_str_radix(&digits, 16);
                out.push(value.unwrap_or_else(|_| panic!("\\x{digits} in {line:?}")));
            }
            Some(other) => out.push(other),
        }
    }
    out.extend_from_slice(end);
    out
}

/// Shows bytes as lines of text: CRLF ends a line, other unprintable bytes are escaped.
pub(crate) fn show(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\r' if bytes.get(at + 1) == Some(&b'\n') => {
                out.push('\n');
                at += 1;
            }
            b'\n' => out.push_str("\\n\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b'\\' => out.push_str("\\\\"),
            byte @ b' '..=b'~' => out.push(byte as char),
            byte => {
                let _ = write!(out, "\\x{byte:02X}");
            }
        }
        at += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_bytes_are_sent() {
        assert_eq!(bytes(r"a\x00\tb", b"\r\n"), b"a\0\tb\r\n");
        assert_eq!(bytes(r"a\", b"\r\n"), b"a");
        assert_eq!(show(b"a\r\nb\n\x80\\"), "a\nb\\n\n\\x80\\\\");
    }
}
