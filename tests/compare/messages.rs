//! HTTP messages in comparable form: necessary variations are normalized, everything else is kept.

use std::io::Read;

use super::text::show;

/// Longer bodies are shown as length and checksum.
const LONGEST: usize = 6000;

/// Renders the messages of a connection. Heads are shown as received. Chunks are joined, since
/// their boundaries depend on timing, and compressed bodies are shown decompressed.
pub(crate) fn render(bytes: &[u8], heads: &[bool]) -> String {
    let mut out = String::new();
    let mut rest = bytes;
    let mut heads = heads.iter();
    while !rest.is_empty() {
        let Some(end) = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            out += &shorten(rest);
            break;
        };
        let (head, body) = rest.split_at(end + 4);
        let text = String::from_utf8_lossy(head).to_ascii_lowercase();
        out += &show(head);
        let interim = text.starts_with("http/1.1 1") && !text.starts_with("http/1.1 101");
        let to_head = !interim && heads.next().copied().unwrap_or(false);
        let empty = ["http/1.1 204", "http/1.1 304", "http/1.1 1"];
        let none = to_head || empty.iter().any(|start| text.starts_with(start));
        rest = if none { body } else { self::body(&text, body, &mut out) };
    }
    out
}

/// Renders the body that a head describes and returns the bytes after it.
fn body<'a>(head: &str, body: &'a [u8], out: &mut String) -> &'a [u8] {
    let field = |name: &str| {
        let rest = head.split(&format!("\r\n{name}:")).nth(1)?;
        Some(rest.split("\r\n").next()?.trim().to_owned())
    };
    let compressed = field("content-encoding").is_some_and(|coding| coding == "gzip");
    let plain = |bytes: &[u8]| if compressed { unzipped(bytes) } else { shorten(bytes) };
    if field("transfer-encoding").is_some() {
        let (joined, end, rest) = chunks(body);
        *out += &plain(&joined);
        *out += "\n[chunked: ";
        *out += &end;
        *out += "]\n";
        return rest;
    }
    let length = field("content-length").and_then(|length| length.parse::<usize>().ok());
    let length = match length {
        Some(length) => length.min(body.len()),
        // A request without a length has no body.
        None if !head.starts_with("http/") => 0,
        None => body.len(),
    };
    let (body, rest) = body.split_at(length);
    if !body.is_empty() {
        *out += &plain(body);
        *out += "\n";
    }
    rest
}

/// Joins chunks of the plainest form; returns their end and the bytes after it. Not by
/// [`crate::harness::chunk`], since odd sizes and bodies that are cut off are shown as they are.
fn chunks(body: &[u8]) -> (Vec<u8>, String, &[u8]) {
    let mut joined = Vec::new();
    let mut rest = body;
    loop {
        let Some(end) = rest.windows(2).position(|bytes| bytes == b"\r\n") else {
            return (joined, format!("cut off{}", show(rest)), &[]);
        };
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        let size = usize::from_str_radix(&line, 16);
        let Some(size) = size.ok().filter(|size| format!("{size:x}") == line) else {
            return (joined, format!("odd size {}", show(rest)), &[]);
        };
        rest = &rest[end + 2..];
        if size == 0 {
            let end = match rest.windows(2).position(|bytes| bytes == b"\r\n") {
                Some(0) => 2,
                _ => rest.windows(4).position(|b| b == b"\r\n\r\n").map_or(rest.len(), |e| e + 4),
            };
            let (trailers, rest) = rest.split_at(end);
            return (joined, format!("ended {}", show(trailers).trim_end()), rest);
        }
        if rest.len() < size + 2 {
            joined.extend_from_slice(rest);
            return (joined, "cut off".to_owned(), &[]);
        }
        joined.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

fn unzipped(bytes: &[u8]) -> String {
    let mut plain = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(bytes);
    match decoder.read_to_end(&mut plain) {
        Ok(_) => format!("[gzip]{}", shorten(&plain)),
        Err(error) => format!("[gzip: {error}]{}", shorten(&plain)),
    }
}

/// Shows a body, a long one as its start, length and checksum.
pub(crate) fn shorten(bytes: &[u8]) -> String {
    if bytes.len() <= LONGEST {
        return show(bytes);
    }
    let sum = bytes.iter().fold(7u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(*byte as u64));
    format!("{}... {} bytes, {sum:x}", show(&bytes[..64]), bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_and_oddities_stay() {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        let with = |body: &[u8]| render(&[&head, body].concat(), &[]);
        assert_eq!(with(b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"), with(b"3\r\nabc\r\n0\r\n\r\n"));
        assert!(with(b"03\r\nabc\r\n0\r\n\r\n").contains("odd size"));
        assert!(with(b"3\r\na").contains("cut off"));
    }

    #[test]
    fn messages_follow_each_other() {
        let two = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 204 No\r\n\r\n";
        assert!(render(two, &[true, false]).ends_with("\n\nHTTP/1.1 204 No\n\n"));
    }
}
