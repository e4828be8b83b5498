//! What probes say of a peer. It lies beside the limits: a reload and an edit leave it alone.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// What probes have found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Nothing bad, or nobody probes.
    #[default]
    Good,
    /// The first probe is still to come, and requests wait for it.
    Checking,
    /// The last probes failed.
    Unhealthy,
}

/// A [`Health`] that any thread may read and set.
#[derive(Debug, Default)]
pub(crate) struct AtomicHealth(AtomicU8);

impl AtomicHealth {
    /// Gives what it was.
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
