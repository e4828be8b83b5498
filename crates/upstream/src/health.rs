//! The result of probes. It is apart from the limits: reloads and edits leave it alone.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// The health of a peer, according to probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Healthy, or not probed.
    #[default]
    Good,
    /// The first probe is pending, and requests wait for it.
    Checking,
    /// The last probes failed.
    Unhealthy,
}

/// A [`Health`] shared by threads.
#[derive(Debug, Default)]
pub(crate) struct AtomicHealth(AtomicU8);

impl AtomicHealth {
    /// Sets the health and returns the previous one.
    pub(crate) fn swap(&self, health: Health) -> Health {
        Self::of(self.0.swap(health as u8, Relaxed))
    }

    pub(crate) fn is_good(&self) -> bool {
        self.0.load(Relaxed) == Health::Good as u8
    }

    pub(crate) fn load(&self) -> Health {
        Self::of(self.0.load(Relaxed))
    }

    fn of(number: u8) -> Health {
        [Health::Good, Health::Checking, Health::Unhealthy][usize::from(number)]
    }
}
