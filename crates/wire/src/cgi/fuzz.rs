//! Entry point of a fuzz target and tests. It panics if a result depends on how the input was
//! split, or is no status.

use super::status;
use crate::h1::{ResponseError, ResponseParser, StatusLine};
use crate::header::Headers;

/// The length of the longest head.
const MOST: usize = 4096;

/// A head: its length, and what is evaluated of it.
type Evaluated = Result<Option<(usize, Result<(u16, Vec<u8>), Vec<u8>>)>, ResponseError>;

/// Parses a head at once and byte by byte, with and without a status line.
pub fn fuzz_head(data: &[u8]) {
    for line in [StatusLine::None, StatusLine::Optional] {
        let whole = parse(data, data.len().max(1), line);
        assert_eq!(parse(data, 1, line), whole, "{line:?}");
        if let Ok(Some((length, Ok((code, line))))) = whole {
            assert!(length <= data.len() && (100..1000).contains(&code));
            assert!(line.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\t'));
        }
    }
}

/// Parses `data`, `step` bytes more at a time.
fn parse(data: &[u8], step: usize, line: StatusLine) -> Evaluated {
    let mut parser = ResponseParser::new();
    parser.reset_to(line);
    let mut end = 0;
    loop {
        end = (end + step).min(data.len());
        if let Some(length) = parser.advance(&data[..end], MOST)? {
            let found = status(parser.head(), &data[..length]);
            let found = found.map(|(code, line)| (code, line.unwrap_or_default().to_vec()));
            let found = found.map_err(<[u8]>::to_vec);
            parser.give_lines(&data[..length], &mut Headers::new());
            return Ok(Some((length, found)));
        }
        if end == data.len() {
            return Ok(None);
        }
    }
}
