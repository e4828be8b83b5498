//! Escaping of values, in log lines and in captures that become arguments.

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// The escaping of values in a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escape {
    /// Quotes, backslashes and everything outside printable ASCII become `\xXX`.
    #[default]
    Default,
    /// JSON strings (RFC 8259 section 7). A byte outside UTF-8 becomes the code point of its
    /// number, as in Latin-1, so that the string is valid whatever a client sends.
    Json,
    /// No escaping.
    None,
}

impl Escape {
    /// Escapes `out` from `start` on.
    pub fn apply(self, out: &mut Vec<u8>, start: usize) {
        match self {
            Self::Default => replace_from(out, start, is_special_in_logs, push_log),
            Self::Json => escape_json(out, start),
            Self::None => {}
        }
    }
}

fn escape_json(out: &mut Vec<u8>, start: usize) {
    // The usual value needs no escaping, and as ASCII it is valid UTF-8.
    let plain = |byte: &u8| byte.is_ascii() && !is_special_in_json(*byte);
    let Some(first) = out[start..].iter().position(|byte| !plain(byte)) else { return };
    let tail = out.split_off(start + first);
    for chunk in tail.utf8_chunks() {
        for &byte in chunk.valid().as_bytes() {
            if is_special_in_json(byte) { push_json(byte, out) } else { out.push(byte) }
        }
        for &byte in chunk.invalid() {
            push_json(byte, out);
        }
    }
}

/// Escapes `out` from `start` on, for the arguments of a URI.
pub fn escape_args(out: &mut Vec<u8>, start: usize) {
    replace_from(out, start, is_special_in_args, |byte, out| {
        out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    });
}

/// Decodes the path of a redirect's address in place, up to its question mark.
///
/// Decodes only characters that URIs allow unescaped; the others keep their escapes.
pub(crate) fn unescape_redirect(text: &mut Vec<u8>, start: usize) {
    let mut read = start;
    let mut write = start;
    while let Some(&byte) = text.get(read) {
        read += 1;
        if byte == b'?' {
            text[write] = byte;
            write += 1;
            break;
        }
        if byte != b'%' {
            text[write] = byte;
            write += 1;
            continue;
        }
        let Some(&high_digit) = text.get(read) else { break };
        read += 1;
        let Some(high) = hex_digit(high_digit) else {
            // An escape without digits loses its percent sign, as in nginx.
            text[write] = high_digit;
            write += 1;
            continue;
        };
        let Some(&low_digit) = text.get(read) else { break };
        read += 1;
        let Some(low) = hex_digit(low_digit) else { continue };
        let decoded = high << 4 | low;
        let question = decoded == b'?' && !low_digit.is_ascii_digit();
        if (decoded > b'%' && decoded < 0x7f) || question {
            text[write] = decoded;
            write += 1;
        } else {
            text[write] = b'%';
            text[write + 1] = high_digit;
            text[write + 2] = low_digit;
            write += 3;
        }
        if question {
            break;
        }
    }
    text.drain(write..read);
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Copies only if a byte needs escaping: the usual value is scanned once and left alone.
fn replace_from(
    out: &mut Vec<u8>,
    start: usize,
    special: fn(u8) -> bool,
    push: fn(u8, &mut Vec<u8>),
) {
    let Some(first) = out[start..].iter().position(|&byte| special(byte)) else { return };
    let tail = out.split_off(start + first);
    for byte in tail {
        if special(byte) { push(byte, out) } else { out.push(byte) }
    }
}

fn is_special_in_logs(byte: u8) -> bool {
    !(0x20..0x7f).contains(&byte) || matches!(byte, b'"' | b'\\')
}

fn push_log(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
}

fn is_special_in_json(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn push_json(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

fn is_special_in_args(byte: u8) -> bool {
    byte <= 0x20 || byte >= 0x7f || br##""#%&+;<>?\^`{|}"##.contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(escape: Escape, text: &[u8]) -> String {
        let mut out = b"\"".to_vec();
        out.extend_from_slice(text);
        escape.apply(&mut out, 1);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn log_values() {
        assert_eq!(escaped(Escape::Default, b"plain ~"), "\"plain ~");
        assert_eq!(escaped(Escape::Default, b"a\"\\\n\xff\x7f"), r#""a\x22\x5C\x0A\xFF\x7F"#);
        assert_eq!(
            escaped(Escape::Json, b"a\"\\\n\r\t\x08\x0c\x01\x1f"),
            r#""a\"\\\n\r\t\b\f\u0001\u001F"#
        );
        assert_eq!(escaped(Escape::None, b"a\"\n"), "\"a\"\n");
    }

    #[test]
    fn json_is_valid_for_any_bytes() {
        for (from, to) in [
            ("é \u{1f600}\x7f".as_bytes(), "é \u{1f600}\x7f"),
            (b"\xe9", r"\u00E9"),
            (b"a\xc3", r"a\u00C3"),
            (b"\xc3\xa9\xff\"\x00", "é\\u00FF\\\"\\u0000"),
            // Overlong forms and surrogate halves are no characters.
            (b"\xc0\xaf", r"\u00C0\u00AF"),
            (b"\xed\xa0\x80", r"\u00ED\u00A0\u0080"),
        ] {
            let mut out = from.to_vec();
            Escape::Json.apply(&mut out, 0);
            assert_eq!(std::str::from_utf8(&out), Ok(to), "{from:?}");
        }
    }

    #[test]
    fn redirects_keep_what_a_uri_may_not_hold() {
        for (from, to) in [
            ("/a%20b", "/a%20b"),
            ("/%41%2f", "/A/"),
            ("/%3f%41", "/?%41"),
            ("/?%41", "/?%41"),
            ("/%4", "/"),
            ("/%zz", "/zz"),
            ("/%4z", "/"),
            ("/%25%7f", "/%25%7f"),
        ] {
            let mut text = from.as_bytes().to_vec();
            unescape_redirect(&mut text, 0);
            assert_eq!(String::from_utf8_lossy(&text), to, "{from}");
        }
    }
}
