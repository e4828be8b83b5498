//! What is remembered of streams that are no more.

/// What a frame for a stream without an entry in the table means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Past {
    /// It was skipped: later streams have closed it, unused.
    Unused,
    /// The peer has ended it: it sends nothing more.
    Ended,
    /// This side has reset it, so that frames of the peer may have been under way; or nobody knows.
    Abandoned,
}

/// The streams of one initiator that were opened last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Closed {
    /// The highest stream that was opened; 0 if there is none.
    last: u32,
    /// Bit i stands for the stream `last - 2 * i`: whether it was opened.
    opened: u64,
    /// Likewise: whether it was reset by this side.
    abandoned: u64,
}

impl Closed {
    /// The highest stream that was opened; 0 if there is none.
    #[inline]
    pub(crate) fn last(&self) -> u32 {
        self.last
    }

    /// Notes a stream that is opened now, above all others.
    #[inline]
    pub(crate) fn open(&mut self, id: u32) {
        debug_assert!(id > self.last);
        // From 0 to the first stream, which has bit 0, the distance does not matter.
        let shift = (id - self.last).div_ceil(2);
        self.opened = self.opened.checked_shl(shift).unwrap_or(0) | 1;
        self.abandoned = self.abandoned.checked_shl(shift).unwrap_or(0);
        self.last = id;
    }

    /// Notes that this side has reset a stream whose peer had not ended it.
    pub(crate) fn abandon(&mut self, id: u32) {
        if let Some(bit) = self.bit(id) {
            self.abandoned |= bit;
        }
    }

    /// The past of a stream up to [`Closed::last`].
    pub(crate) fn past(&self, id: u32) -> Past {
        match self.bit(id) {
            Some(bit) if self.abandoned & bit != 0 => Past::Abandoned,
            Some(bit) if self.opened & bit != 0 => Past::Ended,
            Some(_) => Past::Unused,
            None => Past::Abandoned,
        }
    }

    fn bit(&self, id: u32) -> Option<u64> {
        1u64.checked_shl(self.last.checked_sub(id)? / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_streams_are_told_apart() {
        let mut closed = Closed::default();
        closed.open(1);
        closed.abandon(1);
        closed.open(3);
        closed.open(9);
        let pasts: Vec<_> = [1, 3, 5, 7, 9].map(|id| closed.past(id)).into();
        use Past::{Abandoned, Ended, Unused};
        assert_eq!(pasts, [Abandoned, Ended, Unused, Unused, Ended]);
        closed.open(9 + 2 * 63);
        assert_eq!(closed.past(9), Ended);
        assert_eq!(closed.past(7), Abandoned, "forgotten");
        closed.open(0x7fff_ffff);
        assert_eq!(closed.past(0x7fff_fffd), Unused);
        assert_eq!(closed.past(1), Abandoned, "forgotten");
    }
}
