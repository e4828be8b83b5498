//! The TLS layer of an established connection.
//!
//! With TLS 1.3, records of application data are encrypted and decrypted here (`aead.rs`); rustls
//! gets all others, whole records at a time. With TLS 1.2, rustls gets everything, and so it does
//! until the handshake is finished if there is early data, whose length it limits.
//!
//! Records leave in the order of their sequence numbers: rustls's pending records are sent before
//! anything is encrypted here, and records pending here before those that rustls has encrypted
//! since.

use std::fmt;
use std::io::BufRead;
use std::rc::Rc;

use super::aead::{Keys, LARGEST_FRAGMENT};
use super::info::TlsInfo;
use super::records::OUTBOUND_LIMIT;
use crate::buffer::Buf;

mod receive;
mod send;

pub(super) use send::Outbound;

/// One end of a TLS connection.
pub(crate) struct Session {
    tls: rustls::Connection,
    info: Rc<TlsInfo>,
    /// Received bytes not yet decrypted, starting at `taken`. Unallocated while idle.
    inbound: Buf,
    taken: u32,
    /// The unread rest of a decrypted record.
    plain: Buf,
    /// Encrypted bytes that the socket has not taken, starting at `sent`.
    outbound: Buf,
    sent: u32,
    /// Empty with TLS 1.2.
    keys: Keys,
    /// The maximum plaintext of a record.
    fragment: u16,
    closing: bool,
    /// Consecutive records without plaintext.
    empty: u8,
    /// The handshake is not finished; what comes before its end is early data.
    early: bool,
}

impl Session {
    /// `inbound` holds bytes received after the handshake's last message, which rustls has not
    /// seen. `fragment` is the maximum plaintext of a record, if configured.
    pub(super) fn new(
        mut tls: rustls::Connection,
        keys: Keys,
        fragment: Option<usize>,
        info: Rc<TlsInfo>,
        inbound: Buf,
    ) -> Self {
        tls.set_buffer_limit(Some(OUTBOUND_LIMIT));
        let early = tls.is_handshaking();
        Self {
            tls,
            info,
            inbound,
            taken: 0,
            plain: Buf::empty(),
            outbound: Buf::empty(),
            sent: 0,
            keys,
            fragment: fragment.unwrap_or(LARGEST_FRAGMENT).clamp(1, LARGEST_FRAGMENT) as u16,
            closing: false,
            empty: 0,
            early,
        }
    }

    pub(crate) fn info(&self) -> &Rc<TlsInfo> {
        &self.info
    }

    /// Whether no received data is unread and none is pending to be sent.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.inbound.is_empty()
            && self.plain.is_empty()
            && !self.wants_write()
            && !matches!(self.tls.reader().fill_buf(), Ok(bytes) if !bytes.is_empty())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("info", &self.info).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
