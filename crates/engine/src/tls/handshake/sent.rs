//! The first bytes sent in a handshake, kept for the session ID.

use std::io::{self, IoSlice, Write};

use crate::tls::session::Outbound;

/// The first bytes sent: enough of a server hello to hold the session ID.
#[derive(Default)]
pub(super) struct Sent(Vec<u8>);

impl Sent {
    /// Record and message headers, version, random, the length of the session ID, the session ID.
    const MOST: usize = 5 + 4 + 2 + 32 + 1 + 32;

    fn add(&mut self, bufs: &[IoSlice<'_>], count: usize) {
        let mut left = count.min(Self::MOST - self.0.len());
        for buf in bufs {
            let part = &buf[..left.min(buf.len())];
            self.0.extend_from_slice(part);
            left -= part.len();
        }
    }

    /// The session ID (RFC 5246 section 7.4.1.3; RFC 8446 section 4.1.3).
    pub(super) fn session_id(&self) -> &[u8] {
        let hello = matches!(self.0.as_slice(), [22, _, _, _, _, 2, ..]);
        let id = self.0.get(43..).and_then(|rest| {
            let (&length, rest) = rest.split_first()?;
            rest.get(..usize::from(length))
        });
        id.filter(|_| hello).unwrap_or_default()
    }
}

/// Sends, and records the first bytes.
pub(super) struct Tee<'a, 'b> {
    pub(super) outbound: Outbound<'a, 'b>,
    pub(super) sent: &'a mut Sent,
}

impl Write for Tee<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let count = self.outbound.write_vectored(bufs)?;
        self.sent.add(bufs, count);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
