//! What happens to an index from outside: reloads, other processes, disks.

use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

use super::{Index, entries};
use crate::cache::key::Digest;

/// The maximum number of files that wait for their deletion, which a disk may refuse. The next
/// process finds those beyond it.
const MOST_DOOMED: usize = 1 << 20;

impl Index {
    /// Follows a reload that gives the zone another size. Entries beyond it go as others come, and
    /// by the manager.
    pub(crate) fn resize(&self, size: u64) {
        if self.size.swap(size, Relaxed) != size {
            let most = entries(size) / self.shards.len() as u64;
            self.each().for_each(|mut shard| shard.set_most(most));
        }
    }

    /// Notes files without an entry, which the manager deletes.
    pub(crate) fn doom_files(&self, files: impl IntoIterator<Item = Digest>) {
        let mut doomed = self.doomed.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST_DOOMED.saturating_sub(doomed.len());
        doomed.extend(files.into_iter().take(room));
    }
}
