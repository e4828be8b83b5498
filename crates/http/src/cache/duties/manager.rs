//! The manager: removes responses that nobody asks for (`inactive`), and those used least recently
//! beyond `max_size`, below `min_free`, or in a zone that is nearly full.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use weir_engine::duty::Plans;

use super::{Spell, on_a_thread, pause};
use crate::cache::faults::not_worked_on;
use crate::cache::index::Now;
use crate::cache::path::Limits;
use crate::cache::volume::Volume;

/// The time between two looks.
const LOOKS: Duration = Duration::from_secs(1);

pub(super) async fn manage(volume: Arc<Volume>, mut plans: Plans<Limits>) {
    loop {
        let limits = plans.current();
        volume.index.resize(limits.zone);
        let now = Now::of_turn();
        if !has_work(&volume, &limits, now) {
            pause(&mut plans, LOOKS).await;
            continue;
        }
        let (other, with) = (Arc::clone(&volume), Arc::clone(&limits));
        let is_paced = on_a_thread(move || work(&other, &with, now)).await.unwrap_or(false);
        let time = if is_paced { limits.manager.sleep } else { LOOKS };
        pause(&mut plans, time).await;
    }
}

/// Whether there may be work, as far as that shows without a look at the disk.
fn has_work(volume: &Volume, limits: &Limits, now: Now) -> bool {
    let index = &volume.index;
    limits.min_free > 0
        || index.has_doomed()
        || index.is_due(limits.inactive, now)
        || limits.max_size.is_some_and(|most| index.bytes() >= most)
        || index.len() >= index.watermark()
}

/// Does a spell of work. Returns whether more is left.
fn work(volume: &Volume, limits: &Limits, now: Now) -> bool {
    let mut spell = Spell::begin(limits.manager);
    delete_doomed(volume);
    while volume.index.expire(limits.inactive, now) {
        delete_doomed(volume);
        if spell.is_over(1) {
            return true;
        }
    }
    while is_too_full(volume, limits) && volume.index.evict() {
        delete_doomed(volume);
        if spell.is_over(1) {
            return true;
        }
    }
    false
}

/// Whether a response has to go.
fn is_too_full(volume: &Volume, limits: &Limits) -> bool {
    let index = &volume.index;
    limits.max_size.is_some_and(|most| index.bytes() >= most)
        || index.len() >= index.watermark()
        || limits.min_free > 0 && free(&volume.folder).is_some_and(|free| free <= limits.min_free)
}

/// The free bytes of a file system.
fn free(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Deletes the files without an entry. One that was stored anew meanwhile stays. If a disk refuses,
/// the rest is left for the next time.
fn delete_doomed(volume: &Volume) {
    let mut doomed = volume.index.take_doomed();
    while let Some(digest) = doomed.pop() {
        if !volume.index.has_file(&digest)
            && let Err(error) = volume.delete(&digest)
        {
            not_worked_on("unlink()", &volume.file(&digest), &error);
            doomed.insert(0, digest);
            break;
        }
    }
    volume.index.doom_files(doomed);
}
