//! Records of application data, encrypted and decrypted in buffers of the thread.
//!
//! Encrypted records go to the socket from the thread's buffer; the connection copies only the rest
//! that the socket does not take. So a connection holds memory only for pending data.

use std::cell::Cell;
use std::io::IoSlice;

use rustls::Error;

use super::aead::{HEAD, LARGEST_FRAGMENT, LARGEST_RECORD, RecordKey, TAIL};
use crate::buffer;

/// The maximum plaintext that is encrypted at once, and so may be left pending.
pub(super) const OUTBOUND_LIMIT: usize = 64 * 1024;

thread_local! {
    static SEALED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static OPENED: Cell<Option<Box<Opened>>> = const { Cell::new(None) };
}

/// A buffer for the plaintext of any record.
pub(super) type Opened = [u8; LARGEST_RECORD - HEAD];

/// Encrypts up to [`OUTBOUND_LIMIT`] bytes of `bufs` as records of at most `fragment` bytes of
/// plaintext and passes them to `send`. Returns the plaintext's length and the result of `send`.
///
/// # Errors
/// An encryption failure, of which no cause is known; the connection is unusable.
pub(super) fn seal<T>(
    key: &RecordKey,
    bufs: &[IoSlice<'_>],
    fragment: usize,
    send: impl FnOnce(&[u8]) -> T,
) -> Result<(usize, T), Error> {
    let all: usize = bufs.iter().map(|buf| buf.len()).sum();
    let taken = all.min(OUTBOUND_LIMIT);
    let length = taken + taken.div_ceil(fragment) * (HEAD + TAIL);
    let mut sealed = SEALED.take();
    if sealed.len() < length {
        sealed.resize(length, 0);
    }
    let mut plain = Plain { bufs, at: 0 };
    let (mut left, mut rest) = (taken, &mut sealed[..length]);
    while left > 0 {
        let count = left.min(fragment);
        let (record, behind) = rest.split_at_mut(HEAD + count + TAIL);
        match plain.take(count) {
            Some(stretch) => key.seal(Some(stretch), record)?,
            None => {
                plain.gather(&mut record[HEAD..HEAD + count]);
                key.seal(None, record)?;
            }
        }
        (left, rest) = (left - count, behind);
    }
    let sent = send(&sealed[..length]);
    SEALED.set(sealed);
    Ok((taken, sent))
}

/// The plaintext left to encrypt.
struct Plain<'a> {
    bufs: &'a [IoSlice<'a>],
    /// The consumed bytes of the first buffer.
    at: usize,
}

impl<'a> Plain<'a> {
    /// The rest of the first non-empty buffer.
    fn first(&mut self) -> &'a [u8] {
        while let [first, rest @ ..] = self.bufs {
            if self.at < first.len() {
                return &first[self.at..];
            }
            (self.bufs, self.at) = (rest, 0);
        }
        &[]
    }

    /// Takes the next `count` bytes if they are contiguous.
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let stretch = self.first().get(..count)?;
        self.at += count;
        Some(stretch)
    }

    /// Copies the next bytes, which must exist, into one buffer.
    fn gather(&mut self, mut into: &mut [u8]) {
        while !into.is_empty() {
            let first = self.first();
            debug_assert!(!first.is_empty());
            let (now, later) = into.split_at_mut(first.len().min(into.len()));
            buffer::copy(&first[..now.len()], now);
            self.at += now.len();
            into = later;
        }
    }
}

/// Decrypts a whole record of application data and passes its plaintext to `take`. Returns `None`
/// for a record that rustls must handle, see [`RecordKey::open`].
pub(super) fn open<T>(key: &RecordKey, record: &[u8], take: impl FnOnce(&[u8]) -> T) -> Option<T> {
    let mut opened = OPENED.take().unwrap_or_else(|| Box::new([0; LARGEST_RECORD - HEAD]));
    let done = key.open(record, &mut opened).map(|length| take(&opened[..length]));
    OPENED.set(Some(opened));
    done
}

/// The length of the first record if it is complete. Bytes with an impossible length are returned
/// as a whole, for rustls to report the fault.
pub(super) fn whole(bytes: &[u8]) -> Option<usize> {
    let length = HEAD + u16::from_be_bytes([*bytes.get(3)?, *bytes.get(4)?]) as usize;
    match length {
        length if length > LARGEST_RECORD => Some(bytes.len()),
        length => (bytes.len() >= length).then_some(length),
    }
}

const _: () = assert!(LARGEST_FRAGMENT < LARGEST_RECORD - HEAD);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_delimited() {
        assert_eq!(whole(&[23, 3, 3, 0]), None);
        assert_eq!(whole(&[23, 3, 3, 0, 2, 9]), None);
        assert_eq!(whole(&[23, 3, 3, 0, 2, 9, 9, 23]), Some(7));
        assert_eq!(whole(b"GET /"), None);
        assert_eq!(whole(&[23, 3, 3, 255, 255, 1]), Some(6));
    }

    #[test]
    fn contiguous_plaintext_is_not_copied() {
        let bufs = [&b"ab"[..], b"", b"cdef"].map(IoSlice::new);
        let mut plain = Plain { bufs: &bufs, at: 0 };
        assert_eq!(plain.take(1), Some(&b"a"[..]));
        assert_eq!(plain.take(2), None);
        let mut two = [0; 2];
        plain.gather(&mut two);
        assert_eq!(&two, b"bc");
        assert_eq!(plain.take(3).map(<[u8]>::as_ptr), Some(bufs[2][1..].as_ptr()));
    }
}
