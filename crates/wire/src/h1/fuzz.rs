//! Entry points of fuzz targets and tests. They panic if a result depends on how the input was
//! split, or points outside it.

use super::{Chunked, RequestParser, ResponseParser};
use crate::field_block::FieldBlock;
use crate::header::{Headers, Known};
use crate::request::{Limits, RequestFields, RequestHead, Version};

/// Parses a request head.
pub fn fuzz_request(data: &[u8]) {
    for limits in [SMALL, Limits::default()] {
        let mut whole = RequestParser::new();
        let expected = whole.advance(data, &limits);
        if let Err(error) = expected {
            let _ = error.message(data);
        }
        if matches!(expected, Ok(Some(_))) {
            check_request(data, whole.head());
        }
        for split in splits(data.len()) {
            let mut parser = RequestParser::new();
            let mut found = Ok(None);
            for end in split.chain([data.len()]) {
                found = parser.advance(&data[..end], &limits);
                if found != Ok(None) {
                    break;
                }
            }
            assert_eq!(found, expected, "{:?}", String::from_utf8_lossy(data));
            if matches!(found, Ok(Some(_))) {
                assert_eq!(format!("{:?}", parser.head()), format!("{:?}", whole.head()));
            }
        }
    }
}

/// Limits that short inputs reach.
const SMALL: Limits = Limits {
    header_buffer_size: 16,
    large_buffers: 2,
    large_buffer_size: 32,
    max_headers: 3,
    underscores: false,
    ignore_invalid: true,
    allow_connect: true,
};

/// Builds a request from fields: one per line, with the value after `=`.
pub fn fuzz_request_fields(data: &[u8]) {
    for limits in [SMALL, Limits::default()] {
        let (mut fields, mut text) = (RequestFields::new(Version::HTTP_2), Vec::new());
        let mut block = FieldBlock::default();
        for line in data.split(|&byte| byte == b'\n') {
            let at = line.iter().position(|&byte| byte == b'=').unwrap_or(line.len());
            block.push(&line[..at], line.get(at + 1..).unwrap_or_default());
        }
        fields.allow_extended_connect();
        let ended = data.len().is_multiple_of(2);
        match fields.build(&mut block, &mut text, &limits, ended, |_| None) {
            Ok(()) => check_request(&text, fields.head()),
            Err(error) => drop(error.message(&text)),
        }
    }
}

fn check_request(data: &[u8], head: &RequestHead) {
    let clean = |bytes: &[u8]| bytes.iter().all(|&b| (b >= b' ' || b == b'\t') && b != 0x7f);
    for entry in &head.entries {
        let name = entry.name.of(data);
        assert!(!name.is_empty() && clean(name) && clean(entry.value.of(data)));
        assert!(!entry.value.of(data).starts_with(b" ") && !entry.value.of(data).ends_with(b" "));
        assert_eq!(entry.known, Known::from_name(name));
    }
    assert!(!head.target.is_empty() && head.target.end as usize <= data.len());
    let mut path = Vec::new();
    if head.path(data, true, &mut path).is_ok() {
        assert_eq!(path.first(), Some(&b'/'));
        assert!(!path.contains(&0));
        assert!(!path.split(|&b| b == b'/').any(|segment| segment == b".."));
    }
    let mut headers = Headers::new();
    headers.adopt(data, &head.entries);
    assert_eq!(headers.get(Known::Host), head.get(data, Known::Host));
}

/// Parses a response head.
pub fn fuzz_response(data: &[u8]) {
    for max in [48, 4096] {
        let mut whole = ResponseParser::new();
        let expected = whole.advance(data, max);
        if let Err(error) = expected {
            let _ = error.message(data);
        }
        for split in splits(data.len()) {
            let mut parser = ResponseParser::new();
            let mut found = Ok(None);
            for end in split.chain([data.len()]) {
                found = parser.advance(&data[..end], max);
                if found != Ok(None) {
                    break;
                }
            }
            assert_eq!(found, expected, "{:?}", String::from_utf8_lossy(data));
            if matches!(found, Ok(Some(_))) {
                assert_eq!(format!("{:?}", parser.head()), format!("{:?}", whole.head()));
            }
        }
    }
}

/// Decodes a chunked body.
pub fn fuzz_chunked(data: &[u8]) {
    let expected = decode([data.len()].into_iter(), data);
    for split in splits(data.len()) {
        assert_eq!(decode(split.chain([data.len()]), data), expected);
    }
}

/// The body, the offset of its end, and the trailers.
type Decoded = Result<(Vec<u8>, Option<usize>, Vec<u8>), super::ChunkError>;

/// Decodes `data` cut at `ends`.
fn decode(ends: impl Iterator<Item = usize>, data: &[u8]) -> Decoded {
    let (mut chunked, mut body, mut at) = (Chunked::new(), Vec::new(), 0);
    for end in ends {
        let mut part = data[at..end].to_vec();
        let breaks = chunked.is_broken(&part);
        let joined = chunked.join(&mut part);
        assert_eq!(breaks, joined.is_err());
        let joined = joined?;
        body.extend_from_slice(&part[joined.data]);
        at += joined.used;
        if joined.ended {
            let mut headers = Headers::new();
            let _ = chunked.trailers(&mut headers);
            return Ok((body, Some(at), headers.arena().to_vec()));
        }
    }
    Ok((body, None, Vec::new()))
}

/// Cuts of `len` bytes: after every byte, and in pieces of a few sizes.
fn splits(len: usize) -> impl Iterator<Item = impl Iterator<Item = usize>> {
    [1, 2, 7, 33].into_iter().map(move |step| (0..len).step_by(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator, so that a seed names a failing case.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % bound
        }
    }

    /// Strings of grammar pieces reach more states than random bytes.
    fn run(pieces: &[&str], check: fn(&[u8])) {
        for seed in 0..4000 {
            let mut random = Random(seed);
            let mut data = Vec::new();
            for _ in 0..random.below(24) {
                data.extend_from_slice(pieces[random.below(pieces.len())].as_bytes());
            }
            if random.below(4) == 0 && !data.is_empty() {
                let at = random.below(data.len());
                data[at] = random.below(256) as u8;
            }
            check(&data);
        }
    }

    #[test]
    fn heads_that_come_byte_by_byte() {
        let lines = "Host: A.test:80\r\nuser-agent: x y\tz\r\nAccept:*/*\r\nX-A:   b  \r\n\
            Cookie: 0123456789abcdef0123456789abcdef=0123456789abcdef0123456789abcdef\r\n\
            If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\nX-Not-Known-At-All-Here: 1\r\n\
            Empty:\r\nx_y: z\r\nBare: LF\nTwo: CR\r\r\nnothing\r\nContent-Length: 12\r\n\
            connection: Keep-Alive\r\nStrict-Transport-Security: 1\r\n";
        for line in ["GET /", "PUT /a/../b", "POST http://b.test/a%20b?c=d#e", "FOO /+./a?b"] {
            fuzz_request(format!("{line} HTTP/1.1\r\n{lines}\r\nrest: a").as_bytes());
            fuzz_request(format!("{line} HTTP/1.0\n{lines}\nrest: a").as_bytes());
        }
        for line in
            ["1.1 200 OK\r", "1.1 404 Not\tFound\r", "1.1 304 \r", "1.0 200 OK\r", "1.1 200"]
        {
            for more in ["", "Server: a\r\nServer: b\r\n", "HTTP/1.1 200 OK\r\n", "Date: \x01\r\n"]
            {
                fuzz_response(format!("HTTP/{line}\n{lines}{more}\r\nrest: a").as_bytes());
            }
        }
    }

    #[test]
    fn requests() {
        let pieces = [
            "GET ",
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n",
            "CONNECT a:1",
            "POST ",
            "/",
            "//",
            "/a/../b",
            "http://a.B:80",
            "%2e",
            "?x",
            "#",
            " ",
            "HTTP/1.1",
            "HTTP/1.0",
            "HTTP/2.0",
            "\r\n",
            "\r\n\r\n",
            "\n",
            "\r",
            "Host: a.test",
            "Content-Length: 5",
            "Transfer-Encoding: chunked",
            "X_y: z",
            "name",
            ": ",
            "value ",
            "\t",
            "\0",
            "[::1]",
        ];
        run(&pieces, fuzz_request);
    }

    #[test]
    fn requests_as_fields() {
        let pieces = [
            ":method=GET\n:scheme=https\n:path=/\n",
            ":authority=a.test\n",
            ":method=CONNECT\n",
            ":path=/a/../b?c",
            ":path=//%2e",
            ":",
            "method",
            "=",
            "\n",
            "host=a.test\n",
            "host=b:80",
            "content-length=0\n",
            "content-length=5",
            "cookie=a=b\n",
            "te=trailers\n",
            "connection=x\n",
            "x_y=z\n",
            "A",
            "name=value\n",
            " ",
            "\r",
            "\0",
        ];
        run(&pieces, fuzz_request_fields);
    }

    #[test]
    fn responses() {
        let pieces = [
            "HTTP/1.1 200 OK\r\n",
            "HTTP/",
            "1.0",
            " ",
            "200",
            "HTTP/1.1 103 x\n",
            "\r\n",
            "\n",
            "\r",
            "Content-Length: 5",
            "Transfer-Encoding: chunked",
            "Server: a",
            "name",
            ": ",
            "value",
            "\0",
            "\r\n\r\n",
        ];
        run(&pieces, fuzz_response);
    }

    #[test]
    fn bodies() {
        let pieces = [
            "5\r\nhello\r\n",
            "0\r\n",
            "\r\n",
            "\r",
            "\n",
            "3\r\nabc\r\n",
            "a",
            "f;x=y\r\n",
            "2;x=\"\\\";\"",
            "0",
            " ",
            ";",
            "A: b\r\n",
            "1\r\nx\r\n",
            "ffffffff",
            "\0",
        ];
        run(&pieces, fuzz_chunked);
    }
}
