//! The turn to fetch a response, as a value that its owner holds.

use std::sync::Arc;

use super::Index;
use crate::cache::key::Digest;
use crate::cache::lock::{Ended, Turn};

/// The turn to fetch a response. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    index: Arc<Index>,
    digest: Digest,
    turn: Arc<Turn>,
    how: Ended,
}

impl Claim {
    pub(super) fn new(index: Arc<Index>, digest: Digest, turn: Arc<Turn>) -> Self {
        Self { index, digest, turn, how: Ended::Again }
    }

    /// The turn.
    pub(crate) fn turn(&self) -> Arc<Turn> {
        Arc::clone(&self.turn)
    }

    /// Notes that the response is not kept.
    pub(crate) fn is_not_kept(&mut self) {
        self.how = Ended::NotKept;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut shard = self.index.shard(&self.digest);
        if let Some(place) = shard.find(&self.digest)
            && let Some((turn, _)) = shard.rare(place).and_then(|rare| rare.turn.as_ref())
            && Arc::ptr_eq(turn, &self.turn)
        {
            shard.set_turn(place, None);
        }
        drop(shard);
        self.turn.end(self.how);
    }
}
