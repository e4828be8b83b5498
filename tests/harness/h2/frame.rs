//! Frames (RFC 9113, section 4.1).

/// The types of frames (RFC 9113, section 6).
pub(crate) mod frame_kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
    /// RFC 9218, section 7.
    pub(crate) const PRIORITY_UPDATE: u8 = 16;
}

/// The flags of frames.
pub(crate) mod flag {
    pub(crate) const END_STREAM: u8 = 1;
    pub(crate) const ACK: u8 = 1;
    pub(crate) const END_HEADERS: u8 = 4;
    pub(crate) const PADDED: u8 = 8;
    pub(crate) const PRIORITY: u8 = 32;
}

/// Error codes (RFC 9113, section 7).
pub(crate) mod code {
    pub(crate) const NO_ERROR: u32 = 0;
    pub(crate) const PROTOCOL_ERROR: u32 = 1;
    pub(crate) const INTERNAL_ERROR: u32 = 2;
    pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
    pub(crate) const STREAM_CLOSED: u32 = 5;
    pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
    pub(crate) const REFUSED_STREAM: u32 = 7;
    pub(crate) const CANCEL: u32 = 8;
    pub(crate) const COMPRESSION_ERROR: u32 = 9;
    pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;
}

/// A frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The type, of [`frame_kind`].
    pub(crate) kind: u8,
    /// Flags, of [`flag`].
    pub(crate) flags: u8,
    /// The stream's number; 0 for the connection.
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// The length of a frame's head in bytes.
const HEAD: usize = 9;

impl Frame {
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    /// A frame whose payload is one number.
    pub(crate) fn number(kind: u8, stream: u32, number: u32) -> Self {
        Self::new(kind, 0, stream, number.to_be_bytes())
    }

    pub(crate) fn data(stream: u32, payload: impl Into<Vec<u8>>, end: bool) -> Self {
        Self::new(frame_kind::DATA, u8::from(end), stream, payload)
    }

    pub(crate) fn reset(stream: u32, code: u32) -> Self {
        Self::number(frame_kind::RST_STREAM, stream, code)
    }

    pub(crate) fn window(stream: u32, increment: u32) -> Self {
        Self::number(frame_kind::WINDOW_UPDATE, stream, increment)
    }

    /// Settings as pairs of an identifier and a value.
    pub(crate) fn settings(pairs: &[(u16, u32)]) -> Self {
        let pair =
            |&(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()[..]].concat();
        Self::new(frame_kind::SETTINGS, 0, 0, pairs.iter().flat_map(pair).collect::<Vec<_>>())
    }

    pub(crate) fn go_away(last: u32, code: u32) -> Self {
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        Self::new(frame_kind::GOAWAY, 0, 0, payload)
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The bytes of the frame.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + self.payload.len());
        bytes.extend_from_slice(&(self.payload.len() as u32).to_be_bytes()[1..]);
        bytes.extend_from_slice(&[self.kind, self.flags]);
        bytes.extend_from_slice(&self.stream.to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// The first frame of these bytes, and its length in all.
    pub(super) fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let head = bytes.get(..HEAD)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let payload = bytes.get(HEAD..HEAD + length)?.to_vec();
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        Some((Self { kind: head[3], flags: head[4], stream, payload }, HEAD + length))
    }

    /// The number at a place of the payload; 0 beyond its end.
    pub(crate) fn number_at(&self, at: usize) -> u32 {
        let bytes = self.payload.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        u32::from_be_bytes(bytes.unwrap_or_default())
    }

    /// The payload of DATA or HEADERS without padding and priority.
    pub(super) fn content(&self) -> &[u8] {
        let (mut from, mut to) = (0, self.payload.len());
        if self.has(flag::PADDED) {
            from += 1;
            to -= usize::from(self.payload[0]);
        }
        if self.kind == frame_kind::HEADERS && self.has(flag::PRIORITY) {
            from += 5;
        }
        &self.payload[from..to]
    }

    /// The pairs of SETTINGS.
    pub(super) fn pairs(&self) -> Vec<(u16, u32)> {
        let pair = |pair: &[u8]| {
            let id = u16::from_be_bytes([pair[0], pair[1]]);
            (id, u32::from_be_bytes([pair[2], pair[3], pair[4], pair[5]]))
        };
        self.payload.chunks_exact(6).map(pair).collect()
    }
}
