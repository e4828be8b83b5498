//! The place of a connection among those of its thread.

use std::marker::PhantomData;

use super::freed;
use crate::stats;

/// Counts a connection as in use while it lives, and as active if it was accepted.
#[derive(Debug)]
pub(crate) struct Slot {
    accepted: bool,
    here: PhantomData<*const ()>,
}

impl Slot {
    pub(crate) fn accepted() -> Self {
        Self::new(true)
    }

    pub(crate) fn outgoing() -> Self {
        Self::new(false)
    }

    fn new(accepted: bool) -> Self {
        stats::count_connection(accepted);
        Self { accepted, here: PhantomData }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        stats::count_connection_end(self.accepted);
        freed();
    }
}
