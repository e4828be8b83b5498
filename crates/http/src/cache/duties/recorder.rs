//! The recorder: keeps the index file up to date, so that the next process knows what there is
//! without a walk through the files. Of several processes with one folder, one writes it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use weir_engine::duty::Plans;
use weir_engine::error_log::{Level, process_log};

use super::{on_a_thread, pause};
use crate::cache::faults::not_worked_on;
use crate::cache::index::Now;
use crate::cache::index_file::{self, IndexFile, Unread};
use crate::cache::path::Limits;
use crate::cache::volume::Volume;

/// The time between two looks for changes.
const LOOKS: Duration = Duration::from_secs(1);

/// The time between two attempts to get the right to write, or to write again after an error.
const ATTEMPTS: Duration = Duration::from_secs(5);

/// The age from which a file is written anew, because it does not say what was used since.
const OLD: Duration = Duration::from_secs(3600);

/// Takes the entries that an earlier process has left into the index.
pub(super) async fn restore(volume: &Arc<Volume>) {
    let (other, now) = (Arc::clone(volume), Now::of_turn());
    let _ = on_a_thread(move || {
        // Whoever has the lock before it reads misses nothing that another one writes.
        other.take_lock();
        read(&other, now, false);
    })
    .await;
    volume.restored();
}

/// Reads the index file, and says what was in it.
fn read(volume: &Volume, now: Now, checks: bool) {
    let path = index_file::path(volume);
    match index_file::read(volume, now, checks) {
        Ok(None) => {}
        Ok(Some(count)) => {
            let folder = volume.folder.display();
            let message = format!("http file cache: {folder} {count} responses from the index");
            process_log().log(Level::Notice, 0, message);
        }
        Err(Unread::Damaged(why)) => {
            let (path, why) = (path.display(), why.text());
            let message = format!("cache index \"{path}\" {why}, ignored");
            process_log().log(Level::Warn, 0, message);
        }
        Err(Unread::Failed(error)) => not_worked_on("read()", &path, &error),
    }
}

pub(super) async fn record(volume: Arc<Volume>, mut plans: Plans<Limits>) {
    let recorder = Ending(Arc::default(), Arc::clone(&volume));
    loop {
        let Ending(state, _) = &recorder;
        if volume.is_restored() && lock(state).is_due(&volume) {
            let (state, other, now) = (Arc::clone(state), Arc::clone(&volume), Now::of_turn());
            let _ = on_a_thread(move || lock(&state).work(&other, now)).await;
        }
        pause(&mut plans, LOOKS).await;
    }
}

fn lock(recorder: &Mutex<Recorder>) -> std::sync::MutexGuard<'_, Recorder> {
    recorder.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes a last snapshot when the duty ends.
struct Ending(Arc<Mutex<Recorder>>, Arc<Volume>);

impl Drop for Ending {
    fn drop(&mut self) {
        let Self(recorder, volume) = self;
        lock(recorder).end(volume);
    }
}

/// The state of the recorder.
#[derive(Default)]
struct Recorder {
    /// The file, and the time of its snapshot.
    file: Option<(IndexFile, Instant)>,
    /// The last attempt to get the right to write, or to begin a file.
    tried: Option<Instant>,
    /// Whether an error has been logged since the last success.
    is_failing: bool,
}

impl Recorder {
    /// Whether there may be work.
    fn is_due(&self, volume: &Volume) -> bool {
        match &self.file {
            Some((_, since)) => volume.index.has_changes() || since.elapsed() >= OLD,
            None => self.tried.is_none_or(|tried| tried.elapsed() >= ATTEMPTS),
        }
    }

    fn work(&mut self, volume: &Volume, now: Now) {
        if !volume.has_lock() {
            self.file = None;
            self.tried = Some(Instant::now());
            if !volume.take_lock() {
                return;
            }
            // What the one who had it before has kept.
            read(volume, now, true);
        }
        let is_good = match &mut self.file {
            Some((_, since)) if since.elapsed() >= OLD => Ok(false),
            Some((file, _)) => file.append(volume, now),
            None => Ok(false),
        };
        let written = match is_good {
            Ok(true) => Ok(()),
            Ok(false) => self.begin(volume, now),
            Err(error) => Err(error),
        };
        self.note(volume, written);
    }

    /// Begins a new file.
    fn begin(&mut self, volume: &Volume, now: Now) -> std::io::Result<()> {
        self.tried = Some(Instant::now());
        self.file = None;
        self.file = Some((IndexFile::create(volume, now)?, Instant::now()));
        Ok(())
    }

    /// Notes a result. After an error there is no file: a part of one would hide what is newer.
    fn note(&mut self, volume: &Volume, written: std::io::Result<()>) {
        let Err(error) = written else {
            self.is_failing = false;
            return;
        };
        self.file = None;
        self.tried = Some(Instant::now());
        volume.index.end_changes();
        let path = index_file::path(volume);
        let _ = crate::cache::volume::delete(&path);
        if !std::mem::replace(&mut self.is_failing, true) {
            not_worked_on("write()", &path, &error);
        }
    }

    /// Leaves a whole snapshot to the next process.
    fn end(&mut self, volume: &Volume) {
        if volume.is_restored() && volume.has_lock() {
            let written = self.begin(volume, Now::of_turn());
            self.note(volume, written);
        }
        volume.unlock();
        volume.index.end_changes();
    }
}
