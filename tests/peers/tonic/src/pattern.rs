//! The messages of streams, whose bytes tell where they are.

use std::sync::LazyLock;

use bytes::Bytes;

/// The message with this index: byte `i` is `i + index`. Made of whole slices, as no part of this
/// program is optimised.
pub(crate) fn message(index: usize, size: usize) -> Bytes {
    static ROUND: LazyLock<Vec<u8>> = LazyLock::new(|| (0..=u8::MAX).collect());
    let bytes = ROUND.repeat(size / ROUND.len() + 2);
    Bytes::from(bytes).slice(index % ROUND.len()..).slice(..size)
}

/// What has been received of a stream.
#[derive(Default)]
pub(crate) struct Received {
    messages: usize,
    bytes: usize,
    damaged: bool,
}

impl Received {
    pub(crate) fn add(&mut self, received: &[u8]) {
        self.damaged |= received != message(self.messages, received.len());
        self.messages += 1;
        self.bytes += received.len();
    }
}

impl std::fmt::Display for Received {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let damaged = if self.damaged { ", damaged" } else { "" };
        write!(out, "{} messages, {} bytes{damaged}", self.messages, self.bytes)
    }
}
