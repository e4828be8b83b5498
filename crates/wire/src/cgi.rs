//! Heads of CGI responses (RFC 3875, section 6), which FastCGI, SCGI and uwsgi have: header lines,
//! of which `Status` and `Location` give the status. SCGI and uwsgi applications may send a status
//! line, too.

use crate::h1::ResponseHead;
use crate::header::Known;

pub mod fuzz;

/// The status of a complete head that points into `bytes`, and the status line after the version,
/// if there is one other than the usual.
///
/// # Errors
/// The value of `Status`, if it does not begin with a status.
pub fn status<'a>(
    head: &ResponseHead,
    bytes: &'a [u8],
) -> Result<(u16, Option<&'a [u8]>), &'a [u8]> {
    if head.status != 0 {
        return Ok((head.status, Some(head.status_line.of(bytes))));
    }
    if let Some(value) = head.get(bytes, Known::Status) {
        return match *value {
            [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] => {
                let digit = |byte: u8| u16::from(byte - b'0');
                let line = (value.len() > 3).then_some(value);
                Ok((digit(a) * 100 + digit(b) * 10 + digit(c), line))
            }
            _ => Err(value),
        };
    }
    match head.get(bytes, Known::Location) {
        Some(_) => Ok((302, Some(b"302 Moved Temporarily"))),
        None => Ok((200, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::{ResponseParser, StatusLine};

    /// The status of a head with such a status line.
    fn found(text: &str, line: StatusLine) -> Result<(u16, String), String> {
        let mut parser = ResponseParser::new();
        parser.reset_to(line);
        let length = parser.advance(text.as_bytes(), 4096).unwrap();
        assert_eq!(length, Some(text.len()), "{text}");
        let shown = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        let status = status(parser.head(), text.as_bytes());
        status.map(|(code, line)| (code, line.map(shown).unwrap_or_default())).map_err(shown)
    }

    #[test]
    fn fields_give_the_status() {
        let of = |text: &str| found(text, StatusLine::None);
        assert_eq!(of("A: b\r\n\r\n"), Ok((200, "".into())));
        assert_eq!(of("\n"), Ok((200, "".into())));
        assert_eq!(of("Location: /a\n\n"), Ok((302, "302 Moved Temporarily".into())));
        assert_eq!(of("Location: /a\nstatus: 301 x\n\n"), Ok((301, "301 x".into())));
        assert_eq!(of("Status: 404\n\n"), Ok((404, "".into())));
        assert_eq!(of("Status: 404 a\nStatus: 500 b\n\n"), Ok((404, "404 a".into())));
        for bad in ["20", "", "abc", "099 x", "2x0"] {
            assert_eq!(of(&format!("Status: {bad}\n\n")), Err(bad.into()), "{bad}");
        }
        // Status lines are skipped where they have no meaning.
        assert_eq!(of("HTTP/1.1 404 x\r\nA: b\r\n\r\n"), Ok((200, "".into())));
    }

    #[test]
    fn a_status_line_comes_first() {
        let of = |text: &str| found(text, StatusLine::Optional);
        assert_eq!(of("HTTP/1.1 404 x\r\nStatus: 500\r\n\r\n"), Ok((404, "404 x".into())));
        assert_eq!(of("HTTP/1.0 200\n\n"), Ok((200, "200".into())));
        assert_eq!(of("HTTP/1.1 2x\r\nStatus: 500\r\n\r\n"), Ok((500, "".into())));
        assert_eq!(of("HTTP-X: y\nStatus: 500 a\n\n"), Ok((500, "500 a".into())));
        assert_eq!(of("A: b\nHTTP/1.1 404 x\n\n"), Ok((200, "".into())));
        assert_eq!(of("\r\n"), Ok((200, "".into())));
    }

    #[test]
    fn a_head_may_be_split_anywhere() {
        for text in [
            "HTTP/1.1 201 A\r\nA: b\r\n\r\n",
            "Status: 201 A\r\nHTT: b\n\n",
            "HTTP/1.1 2x\r\nA: b\n\n",
            "H\n: b\n\n",
        ] {
            fuzz::fuzz_head(text.as_bytes());
        }
    }
}
