//! The bytes to be sent.

use super::limits::OUTPUT_LIMIT;

/// The capacity up to which an empty output keeps its memory, in bytes: bodies stay below it.
const MOST_KEPT: usize = 2 * OUTPUT_LIMIT;

/// Bytes in order, of which the first are sent.
///
/// Invariant: `sent <= bytes.len()`, and both are 0 if nothing is left.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    sent: usize,
}

impl Output {
    /// The unsent bytes.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// The number of unsent bytes.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Where to append.
    #[inline]
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        if self.sent > 0 && self.sent >= self.len() {
            // At most as much is moved as was sent.
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        &mut self.bytes
    }

    /// Removes sent bytes from the front.
    #[inline]
    pub(crate) fn remove(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.len());
        self.sent = (self.sent + bytes).min(self.bytes.len());
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
            if self.bytes.capacity() > MOST_KEPT {
                self.bytes = Vec::new();
            }
        }
    }

    /// Uses this memory for what is written next, unless there is some already.
    pub(crate) fn lend(&mut self, memory: Vec<u8>) {
        if self.bytes.capacity() == 0 {
            self.bytes = memory;
            self.bytes.clear();
        }
    }

    /// Gives the memory back if nothing is left.
    pub(crate) fn take_back(&mut self) -> Option<Vec<u8>> {
        let is_free = self.bytes.is_empty() && self.bytes.capacity() > 0;
        is_free.then(|| std::mem::take(&mut self.bytes))
    }

    /// Frees the memory if nothing is left.
    pub(crate) fn trim(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_order() {
        let mut output = Output::default();
        output.end().extend_from_slice(b"abcdef");
        output.remove(2);
        output.end().extend_from_slice(b"gh");
        assert_eq!(output.bytes(), b"cdefgh");
        output.remove(4);
        output.end().extend_from_slice(b"i");
        assert_eq!((output.bytes(), output.sent), (&b"ghi"[..], 0));
        output.remove(3);
        assert_eq!(output.len(), 0);
        output.trim();
        assert_eq!(output.bytes.capacity(), 0);
        assert_eq!(output.take_back(), None);
        output.lend(b"xyz".to_vec());
        output.end().push(b'1');
        output.lend(Vec::new());
        assert_eq!(output.bytes(), b"1");
        assert_eq!(output.take_back(), None);
        output.remove(1);
        assert!(output.take_back().is_some_and(|memory| memory.capacity() >= 3));
    }
}
