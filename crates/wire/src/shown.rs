//! Network bytes as text for messages.

use std::borrow::Cow;
use std::fmt::Write;

/// The bytes as text. Invalid UTF-8 is written as `\xFF`, as in the access log, so that different
/// bytes stay different.
pub fn shown(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => escaped(bytes).into(),
    }
}

#[cold]
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn different_bytes_stay_different() {
        for (bytes, text) in
            [(&b"/a\xc3\xa9"[..], "/a\u{e9}"), (b"/\xff\xfe.\xc3", "/\\xFF\\xFE.\\xC3"), (b"", "")]
        {
            assert_eq!(shown(bytes), text);
        }
    }
}
