//! Frames (RFC 9113 sections 4 and 6): their heads, and the parts that payloads share.

pub(crate) mod payload;
pub(crate) mod write;

/// The length of a frame's head, in bytes.
pub const HEAD: usize = 9;

/// The bytes that a client sends first (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The smallest value of SETTINGS_MAX_FRAME_SIZE, which is also the initial one.
pub(crate) const MIN_FRAME_SIZE: u32 = 1 << 14;

/// The greatest value of SETTINGS_MAX_FRAME_SIZE.
pub(crate) const MAX_FRAME_SIZE: u32 = (1 << 24) - 1;

/// Types of frames.
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0x0;
    pub(crate) const HEADERS: u8 = 0x1;
    pub(crate) const PRIORITY: u8 = 0x2;
    pub(crate) const RST_STREAM: u8 = 0x3;
    pub(crate) const SETTINGS: u8 = 0x4;
    pub(crate) const PUSH_PROMISE: u8 = 0x5;
    pub(crate) const PING: u8 = 0x6;
    pub(crate) const GOAWAY: u8 = 0x7;
    pub(crate) const WINDOW_UPDATE: u8 = 0x8;
    pub(crate) const CONTINUATION: u8 = 0x9;
    /// RFC 9218 section 7.1.
    pub(crate) const PRIORITY_UPDATE: u8 = 0x10;
}

/// Flags of frames.
pub(crate) mod flag {
    /// Of SETTINGS and PING.
    pub(crate) const ACK: u8 = 0x1;
    /// Of DATA and HEADERS.
    pub(crate) const END_STREAM: u8 = 0x1;
    /// Of HEADERS and CONTINUATION.
    pub(crate) const END_HEADERS: u8 = 0x4;
    /// Of DATA and HEADERS.
    pub(crate) const PADDED: u8 = 0x8;
    /// Of HEADERS.
    pub(crate) const PRIORITY: u8 = 0x20;
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    /// The length of the payload, in bytes; at most [`MAX_FRAME_SIZE`].
    pub length: u32,
    /// The type, see [`kind`].
    pub kind: u8,
    /// See [`flag`].
    pub flags: u8,
    /// The stream; 0 for the connection. The reserved bit is 0.
    pub stream: u32,
}

impl FrameHead {
    /// Decodes a head. The reserved bit is ignored.
    #[inline]
    pub(crate) fn parse(bytes: &[u8; HEAD]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = *bytes;
        Self {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & 0x7fff_ffff,
        }
    }

    /// The head as sent.
    #[inline]
    pub(crate) fn bytes(self) -> [u8; HEAD] {
        let [_, a, b, c] = self.length.to_be_bytes();
        let [s, t, u, v] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, s, t, u, v]
    }

    /// Whether a flag is set.
    #[inline]
    pub(crate) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_round_trip() {
        let head = FrameHead { length: 0x01_02_03, kind: 4, flags: 5, stream: 0x7f06_0708 };
        assert_eq!(head.bytes(), [1, 2, 3, 4, 5, 0x7f, 6, 7, 8]);
        assert_eq!(FrameHead::parse(&head.bytes()), head);
    }

    #[test]
    fn the_reserved_bit_is_ignored() {
        let head = FrameHead::parse(&[0, 0, 0, 0, 0, 0x80, 0, 0, 1]);
        assert_eq!(head.stream, 1);
    }
}
