//! Writing frames to the end of an output.

use super::{FrameHead, HEAD, flag, kind};
use crate::h2::error::ErrorCode;

/// Writes a head.
#[inline]
pub(crate) fn head(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    let head = FrameHead { length: length as u32, kind, flags, stream };
    out.extend_from_slice(&head.bytes());
}

/// Writes SETTINGS with these ids and values.
pub(crate) fn settings(out: &mut Vec<u8>, values: impl IntoIterator<Item = (u16, u32)>) {
    let start = out.len();
    head(out, 0, kind::SETTINGS, 0, 0);
    for (id, value) in values {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
    set_length(out, start);
}

/// Writes the acknowledgement of SETTINGS.
pub(crate) fn settings_ack(out: &mut Vec<u8>) {
    head(out, 0, kind::SETTINGS, flag::ACK, 0);
}

/// Writes PING.
pub(crate) fn ping(out: &mut Vec<u8>, payload: [u8; 8], ack: bool) {
    head(out, 8, kind::PING, if ack { flag::ACK } else { 0 }, 0);
    out.extend_from_slice(&payload);
}

/// Writes RST_STREAM.
pub(crate) fn reset(out: &mut Vec<u8>, stream: u32, code: ErrorCode) {
    head(out, 4, kind::RST_STREAM, 0, stream);
    out.extend_from_slice(&code.0.to_be_bytes());
}

/// Writes GOAWAY without debug data.
pub(crate) fn go_away(out: &mut Vec<u8>, last: u32, code: ErrorCode) {
    head(out, 8, kind::GOAWAY, 0, 0);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&code.0.to_be_bytes());
}

/// Writes WINDOW_UPDATE.
pub(crate) fn window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    debug_assert!(increment > 0);
    head(out, 4, kind::WINDOW_UPDATE, 0, stream);
    out.extend_from_slice(&increment.to_be_bytes());
}

/// Writes bytes of a body as DATA frames of at most `most` bytes each; an empty one if there are
/// none.
#[inline]
pub(crate) fn data(out: &mut Vec<u8>, stream: u32, bytes: &[u8], end: bool, most: usize) {
    let mut left = bytes;
    loop {
        let (now, rest) = left.split_at(left.len().min(most));
        let flags = if end && rest.is_empty() { flag::END_STREAM } else { 0 };
        head(out, now.len(), kind::DATA, flags, stream);
        out.extend_from_slice(now);
        if rest.is_empty() {
            return;
        }
        left = rest;
    }
}

/// Writes a header block as HEADERS, and CONTINUATION for what exceeds `most` bytes. `block`
/// appends it.
#[inline]
pub(crate) fn headers(
    out: &mut Vec<u8>,
    stream: u32,
    end: bool,
    most: usize,
    block: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    let flags = flag::END_HEADERS | if end { flag::END_STREAM } else { 0 };
    head(out, 0, kind::HEADERS, flags, stream);
    block(out);
    if out.len() - start - HEAD <= most {
        set_length(out, start);
    } else {
        split(out, start, most);
    }
}

/// Splits the block of the frame at `start`, which is the last one.
#[cold]
fn split(out: &mut Vec<u8>, start: usize, most: usize) {
    let rest = out.split_off(start + HEAD + most);
    set_length(out, start);
    out[start + FLAGS_AT] &= !flag::END_HEADERS;
    let stream = FrameHead::parse(&take_head(out, start)).stream;
    let mut pieces = rest.chunks(most).peekable();
    while let Some(piece) = pieces.next() {
        let flags = if pieces.peek().is_none() { flag::END_HEADERS } else { 0 };
        head(out, piece.len(), kind::CONTINUATION, flags, stream);
        out.extend_from_slice(piece);
    }
}

/// The place of the flags in a head.
const FLAGS_AT: usize = 4;

fn take_head(out: &[u8], start: usize) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head.copy_from_slice(&out[start..start + HEAD]);
    head
}

/// Sets the length of the frame at `start`, which is the last one.
#[inline]
fn set_length(out: &mut [u8], start: usize) {
    let [_, length @ ..] = ((out.len() - start - HEAD) as u32).to_be_bytes();
    out[start..start + 3].copy_from_slice(&length);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Heads and payloads of all frames.
    fn frames(mut bytes: &[u8]) -> Vec<(FrameHead, Vec<u8>)> {
        let mut found = Vec::new();
        while let Some((head, rest)) = bytes.split_first_chunk() {
            let head = FrameHead::parse(head);
            let (payload, rest) = rest.split_at(head.length as usize);
            found.push((head, payload.to_vec()));
            bytes = rest;
        }
        assert!(bytes.is_empty());
        found
    }

    #[test]
    fn a_long_block_continues() {
        let mut out = b"".to_vec();
        headers(&mut out, 5, true, 4, |out| out.extend_from_slice(b"123456789"));
        let frames = frames(&out);
        let shape: Vec<_> = frames
            .iter()
            .map(|(head, payload)| (head.kind, head.flags, head.stream, &payload[..]))
            .collect();
        assert_eq!(
            shape,
            [
                (kind::HEADERS, flag::END_STREAM, 5, &b"1234"[..]),
                (kind::CONTINUATION, 0, 5, b"5678"),
                (kind::CONTINUATION, flag::END_HEADERS, 5, b"9"),
            ]
        );
    }

    #[test]
    fn a_block_that_just_fits_is_one_frame() {
        let mut out = Vec::new();
        headers(&mut out, 5, false, 4, |out| out.extend_from_slice(b"1234"));
        assert_eq!(frames(&out).len(), 1);
        assert_eq!(frames(&out)[0].0.flags, flag::END_HEADERS);
    }

    #[test]
    fn only_the_last_data_frame_ends_the_stream() {
        let mut out = Vec::new();
        data(&mut out, 3, b"abcde", true, 2);
        data(&mut out, 3, b"", true, 2);
        let flags: Vec<_> =
            frames(&out).iter().map(|(head, _)| (head.length, head.flags)).collect();
        assert_eq!(flags, [(2, 0), (2, 0), (1, 1), (0, 1)]);
    }
}
