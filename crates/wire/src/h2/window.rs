//! Windows of flow control (RFC 9113 section 5.2).

/// The greatest window, in bytes.
pub(crate) const MAX_WINDOW: u32 = (1 << 31) - 1;

/// The window of the connection, and of streams without a setting, in bytes.
pub(crate) const INITIAL_WINDOW: u32 = 65_535;

/// How many bytes this side may send. Negative after the peer has lowered its initial window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendWindow(i32);

/// A window would exceed [`MAX_WINDOW`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

impl SendWindow {
    pub(crate) fn new(bytes: u32) -> Self {
        debug_assert!(bytes <= MAX_WINDOW);
        Self(bytes as i32)
    }

    /// The number of bytes that may be sent now.
    #[inline]
    pub(crate) fn available(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    /// Accounts for sent bytes.
    #[inline]
    pub(crate) fn take(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.available());
        self.0 = self.0.saturating_sub(bytes as i32);
    }

    /// Adds an increment of the peer, or the change of its setting.
    pub(crate) fn change(&mut self, by: i64) -> Result<(), Overflow> {
        // The sum of a setting's changes is above -2^31, so only the other side can overflow.
        self.0 = i32::try_from(i64::from(self.0) + by).map_err(|_| Overflow)?;
        Ok(())
    }
}

/// How many bytes the peer may send, and how many of them are unread.
///
/// Invariant: the peer knows of a window of `available`. Granted are at most `target` bytes beyond
/// what is consumed, unless the target has been lowered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceiveWindow {
    available: i32,
    unread: u32,
    target: u32,
}

impl ReceiveWindow {
    /// A window of which the peer knows `available` bytes and which is to have `target`.
    pub(crate) fn new(available: u32, target: u32) -> Self {
        debug_assert!(available <= MAX_WINDOW && target <= MAX_WINDOW);
        Self { available: available as i32, unread: 0, target }
    }

    /// Accounts for received bytes, as unread. False if the peer has exceeded the window.
    #[must_use]
    #[inline]
    pub(crate) fn take(&mut self, bytes: u32) -> bool {
        if i64::from(bytes) > i64::from(self.available) {
            return false;
        }
        self.available -= bytes as i32;
        self.unread += bytes;
        true
    }

    /// Declares bytes as consumed; at most what is unread. Returns how many were.
    #[inline]
    pub(crate) fn release(&mut self, bytes: u32) -> u32 {
        let bytes = bytes.min(self.unread);
        self.unread -= bytes;
        bytes
    }

    /// What the peer may send.
    #[cfg(test)]
    pub(crate) fn known(self) -> usize {
        usize::try_from(self.available).unwrap_or(0)
    }

    /// The number of unread bytes.
    pub(crate) fn unread(self) -> u32 {
        self.unread
    }

    /// Sets the number of bytes that the window is to have whenever nothing is unread.
    pub(crate) fn set_target(&mut self, bytes: u32) {
        self.target = bytes.min(MAX_WINDOW);
    }

    /// The increment to send now: once less than half of the target is left, all that is due.
    #[must_use]
    #[inline]
    pub(crate) fn grant(&mut self) -> Option<u32> {
        let wanted = i64::from(self.target) - i64::from(self.unread);
        let due = wanted - i64::from(self.available);
        if due <= 0 || 2 * due < i64::from(self.target) {
            return None;
        }
        self.available = (i64::from(self.available) + due) as i32;
        Some(due as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_window_may_be_negative_but_not_too_large() {
        let mut window = SendWindow::new(10);
        window.take(10);
        window.change(-10).unwrap();
        assert_eq!(window.available(), 0);
        window.change(11).unwrap();
        assert_eq!(window.available(), 1);
        assert_eq!(window.change(i64::from(MAX_WINDOW)), Err(Overflow));
        window.change(i64::from(MAX_WINDOW) - 1).unwrap();
        assert_eq!(window.available(), MAX_WINDOW as usize);
    }

    #[test]
    fn increments_wait_until_half_of_the_window_is_used() {
        let mut window = ReceiveWindow::new(100, 100);
        assert!(window.take(60));
        assert_eq!(window.grant(), None);
        assert_eq!(window.release(49), 49);
        assert_eq!(window.grant(), None);
        assert_eq!(window.release(100), 11);
        assert_eq!(window.grant(), Some(60));
        assert!(!window.take(101));
        assert!(window.take(100));
    }

    #[test]
    fn a_raised_target_is_granted_at_once() {
        let mut window = ReceiveWindow::new(10, 10);
        assert!(window.take(4));
        window.set_target(100);
        assert_eq!(window.grant(), Some(90));
        window.set_target(5);
        assert_eq!(window.grant(), None);
        assert_eq!(window.release(4), 4);
        assert!(window.take(96));
        assert_eq!(window.release(96), 96);
        assert_eq!(window.grant(), Some(5));
    }
}
