//! Percent-escaping by destination.

use super::normalise::hex_digit;

/// The destination of escaped text, which decides the bytes to escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Escape {
    /// The path of a URI.
    Uri,
    /// The arguments of a URI, which `&`, `+` and `;` separate.
    Args,
    /// A URI component: only unreserved characters stay.
    UriComponent,
    /// A URI inside an HTML attribute.
    Html,
    /// A URI in a Refresh header, which may be escaped already.
    Refresh,
    /// A memcached key.
    Memcached,
    /// A value for the mail authentication service.
    MailAuth,
    /// xtext of RFC 3461, with `+` as its escape character.
    MailXtext,
}

const KINDS: [Escape; 8] = [
    Escape::Uri,
    Escape::Args,
    Escape::UriComponent,
    Escape::Html,
    Escape::Refresh,
    Escape::Memcached,
    Escape::MailAuth,
    Escape::MailXtext,
];

/// Appends `bytes` to `out`, escaped for `kind`, in upper-case hex.
pub fn escape(kind: Escape, bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let bit = 1 << kind as u8;
    let prefix = if kind == Escape::MailXtext { b'+' } else { b'%' };
    let mut clean = 0;
    for (i, &byte) in bytes.iter().enumerate() {
        if ESCAPED[byte as usize] & bit != 0 {
            out.extend_from_slice(&bytes[clean..i]);
            out.extend([prefix, HEX[(byte >> 4) as usize], HEX[(byte & 15) as usize]]);
            clean = i + 1;
        }
    }
    out.extend_from_slice(&bytes[clean..]);
}

/// Appends `bytes` with character references for `<`, `>`, `&` and `"`.
pub fn escape_html(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            _ => out.push(byte),
        }
    }
}

/// The extent of [`unescape`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unescape {
    /// Decodes all escapes.
    All,
    /// Stops after the first `?`, plain or escaped.
    Uri,
    /// As `Uri`, but keeps escapes of control bytes, non-ASCII and `!"#$%`.
    Redirect,
}

/// Appends the decoded `bytes` and returns the number of bytes consumed. As in nginx, an escape
/// with an invalid first digit loses its `%`, and one with an invalid second digit is dropped.
pub fn unescape(kind: Unescape, bytes: &[u8], out: &mut Vec<u8>) -> usize {
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte == b'?' && kind != Unescape::All {
            out.push(byte);
            break;
        }
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let Some(&first) = bytes.get(at) else { break };
        at += 1;
        let Some(high) = hex_digit(first) else {
            out.push(first);
            continue;
        };
        let Some(&second) = bytes.get(at) else { break };
        at += 1;
        let Some(low) = hex_digit(second) else { continue };
        let decoded = high << 4 | low;
        // An escaped `?` ends the URI, too.
        if decoded == b'?' && kind != Unescape::All {
            out.push(decoded);
            break;
        }
        if kind == Unescape::Redirect && !(decoded > b'%' && decoded < 0x7f) {
            out.extend([b'%', first, second]);
        } else {
            out.push(decoded);
        }
    }
    at
}

/// One bit per kind: whether it escapes the byte.
static ESCAPED: [u8; 256] = escaped();

const fn escaped() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut k = 0;
        while k < KINDS.len() {
            if is_escaped(KINDS[k], byte as u8) {
                table[byte] |= 1 << KINDS[k] as u8;
            }
            k += 1;
        }
        byte += 1;
    }
    table
}

const fn is_escaped(kind: Escape, byte: u8) -> bool {
    if matches!(kind, Escape::Memcached | Escape::MailAuth) {
        return byte <= b' ' || byte == b'%';
    }
    if byte <= b' ' || byte >= 0x7f {
        return true;
    }
    let unsafe_in_uri =
        matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}');
    match kind {
        Escape::Uri => unsafe_in_uri || matches!(byte, b'#' | b'%' | b'?'),
        Escape::Args => unsafe_in_uri || matches!(byte, b'#' | b'%' | b'&' | b'+' | b';' | b'?'),
        Escape::UriComponent => {
            !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
        }
        Escape::Html => unsafe_in_uri || matches!(byte, b'#' | b'%' | b'\''),
        // nginx's table has `~` where `}` was meant; its output is kept.
        Escape::Refresh => unsafe_in_uri && byte != b'}' || matches!(byte, b'\'' | b'~'),
        Escape::MailXtext => matches!(byte, b'+' | b'='),
        Escape::Memcached | Escape::MailAuth => unreachable!(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped_ascii(kind: Escape) -> String {
        let special = |byte: &u8| {
            let mut out = Vec::new();
            escape(kind, &[*byte], &mut out);
            out.len() == 3
        };
        (0x21..0x7f).filter(special).map(char::from).collect()
    }

    #[test]
    fn what_each_kind_escapes() {
        assert_eq!(escaped_ascii(Escape::Uri), "\"#%<>?\\^`{|}");
        assert_eq!(escaped_ascii(Escape::Args), "\"#%&+;<>?\\^`{|}");
        assert_eq!(escaped_ascii(Escape::UriComponent), "!\"#$%&'()*+,/:;<=>?@[\\]^`{|}");
        assert_eq!(escaped_ascii(Escape::Html), "\"#%'<>\\^`{|}");
        assert_eq!(escaped_ascii(Escape::Refresh), "\"'<>\\^`{|~");
        assert_eq!(escaped_ascii(Escape::Memcached), "%");
        assert_eq!(escaped_ascii(Escape::MailXtext), "+=");
    }

    #[test]
    fn escapes_in_upper_case() {
        let mut out = Vec::new();
        escape(Escape::Uri, "/é b\r\n".as_bytes(), &mut out);
        assert_eq!(out, b"/%C3%A9%20b%0D%0A");
    }

    #[test]
    fn unescapes() {
        let run = |kind, text: &str| {
            let mut out = Vec::new();
            let used = unescape(kind, text.as_bytes(), &mut out);
            (String::from_utf8_lossy(&out).into_owned(), used)
        };
        assert_eq!(run(Unescape::All, "a%20b?%3fc%41"), ("a b??cA".into(), 13));
        assert_eq!(run(Unescape::All, "a%zb%4zc%4"), ("azbc".into(), 10));
        assert_eq!(run(Unescape::Uri, "a%3fb"), ("a?".into(), 4));
        assert_eq!(run(Unescape::Redirect, "%20%41%25?x"), ("%20A%25?".into(), 10));
    }
}
