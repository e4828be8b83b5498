//! The work for caches beside requests, on the caretaker's thread. What may wait for a disk is done
//! on other threads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_conf::Slot;
use weir_engine::duty::{Duty, Plans};
use weir_engine::event_loop::on_a_thread;
use weir_engine::timer;

use super::path::{Limits, Pace};
use super::settings::Caching;
use super::volume::Volume;
use crate::snapshot::Configuration;

mod loader;
mod manager;
mod purger;
mod recorder;
mod walk;

/// The duties of the caches that the configuration uses.
pub(crate) fn find(configuration: &Arc<Configuration>, slot: &'static Slot<Caching>) -> Vec<Duty> {
    let mut found = BTreeMap::new();
    for (_, location) in configuration.locations() {
        for zone in location.settings.get(slot).zones() {
            if let Some((volume, path)) = zone.in_use() {
                found.insert(zone.name.clone(), (Arc::clone(volume), path.limits.clone()));
            }
        }
    }
    let duties = found.into_iter().flat_map(|(name, (volume, limits))| {
        volume.note_max_size(limits.max_size);
        let load = duty("load", &name, &volume, limits.clone(), loader::load);
        let record = duty("record", &name, &volume, limits.clone(), recorder::record);
        let purge = duty("purge", &name, &volume, limits.clone(), purger::purge);
        [load, record, purge, duty("manage", &name, &volume, limits, manager::manage)]
    });
    duties.collect()
}

fn duty<F>(
    what: &str,
    name: &str,
    volume: &Arc<Volume>,
    limits: Limits,
    work: fn(Arc<Volume>, Plans<Limits>) -> F,
) -> Duty
where
    F: Future<Output = ()> + 'static,
{
    let volume = Arc::clone(volume);
    let key = format!("{what} the cache {name} ({})", volume.number);
    Duty::planned(key, limits, move |plans| work(Arc::clone(&volume), plans))
}

/// A spell of work on files, which is over after a number of files or some time.
struct Spell {
    pace: Pace,
    files: u64,
    began: Instant,
}

impl Spell {
    fn begin(pace: Pace) -> Self {
        Self { pace, files: 0, began: Instant::now() }
    }

    /// Counts files. Returns whether the work pauses.
    fn is_over(&mut self, files: u64) -> bool {
        self.files += files;
        self.files >= self.pace.files.max(1) || self.began.elapsed() >= self.pace.threshold
    }
}

/// Waits, at most until the limits change.
async fn pause(plans: &mut Plans<Limits>, time: Duration) {
    let mut sleep = std::pin::pin!(timer::sleep(time));
    let mut changed = std::pin::pin!(plans.changed());
    std::future::poll_fn(|cx| {
        if sleep.as_mut().poll(cx).is_ready() {
            return std::task::Poll::Ready(());
        }
        changed.as_mut().poll(cx)
    })
    .await;
}
