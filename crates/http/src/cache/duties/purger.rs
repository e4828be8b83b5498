//! The purger: deletes the files of responses that a wildcard purge means, at the pace of
//! `purger_files`, `purger_threshold` and `purger_sleep`. Requests do not use them meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use weir_engine::duty::Plans;

use super::walk::Walk;
use super::{on_a_thread, pause};
use crate::cache::faults::not_worked_on;
use crate::cache::key::Digest;
use crate::cache::path::Limits;
use crate::cache::purge::head;
use crate::cache::volume::{self, Volume};
use crate::cache::wildcards::Wildcard;

/// The time between two looks for purges.
const LOOKS: Duration = Duration::from_secs(1);

/// The time until the next walk after one on which the disk has refused something.
const RETRY: Duration = Duration::from_secs(5);

pub(super) async fn purge(volume: Arc<Volume>, mut plans: Plans<Limits>) {
    loop {
        let wildcards = volume.wildcards.pending();
        if wildcards.is_empty() {
            pause(&mut plans, LOOKS).await;
        } else if walk(&volume, &mut plans, &wildcards).await {
            volume.wildcards.done(&wildcards);
        } else {
            pause(&mut plans, RETRY).await;
        }
    }
}

/// Walks through all files. Returns whether all that are meant are gone.
async fn walk(volume: &Arc<Volume>, plans: &mut Plans<Limits>, wildcards: &[Wildcard]) -> bool {
    let (mut walk, mut stays) = (Walk::default(), false);
    loop {
        let pace = plans.current().purger;
        let (other, meant) = (Arc::clone(volume), wildcards.to_vec());
        let spell = on_a_thread(move || {
            let more = walk.go_on(&other, pace, |met| {
                let Some(digest) = met.digest() else { return false };
                stays |= !meet(&other, &meant, &digest, met.path);
                true
            });
            (walk, stays, more)
        });
        let Ok((back, stayed, more)) = spell.await else { return false };
        (walk, stays) = (back, stayed);
        if !more {
            return !walk.has_failed && !stays;
        }
        pause(plans, pace.sleep).await;
    }
}

/// Deletes a file that is meant. Returns false if it is still there.
fn meet(volume: &Volume, wildcards: &[Wildcard], digest: &Digest, path: &Path) -> bool {
    let Some(head) = head(path) else { return true };
    let meant = wildcards.iter().filter(|wildcard| head.key.starts_with(&wildcard.prefix));
    let Some(before) = meant.map(|wildcard| wildcard.before).max() else { return true };
    if !volume.index.forget_before(digest, before) {
        return true;
    }
    let deleted = volume::delete(path);
    if let Err(error) = &deleted {
        not_worked_on("unlink()", path, error);
    }
    deleted.is_ok()
}
