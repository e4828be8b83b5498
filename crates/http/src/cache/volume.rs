//! A cache in use: its folder and its index. A reload finds it by its name.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::counters::CacheCounters;
use super::index::Index;
use super::index_file::Lock;
use super::key::{Digest, Levels};
use super::path::CachePath;
use super::sought::Sought;
use super::wildcards::Wildcards;

/// A cache in use.
#[derive(Debug)]
pub(crate) struct Volume {
    /// A number that no other volume of the process has had.
    pub(crate) number: u64,
    /// The folder of the files.
    pub(crate) folder: PathBuf,
    /// The levels of subfolders.
    pub(crate) levels: Levels,
    /// What is kept.
    pub(crate) index: Arc<Index>,
    /// What is counted.
    pub(crate) counters: CacheCounters,
    /// `max_size` in the configuration in force; `u64::MAX` without a limit.
    max_size: AtomicU64,
    /// Purges that are not carried out yet.
    pub(super) wildcards: Wildcards,
    /// Responses whose variants are looked for among unknown files.
    pub(super) sought: Sought,
    /// The right to write the index file, while this process has it.
    lock: Mutex<Option<Lock>>,
    /// Whether the entries that an earlier process has left are in the index.
    restored: AtomicBool,
}

static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// The volumes in use by the names of their zones.
static LIVE: Mutex<BTreeMap<String, Weak<Volume>>> = Mutex::new(BTreeMap::new());

impl Volume {
    /// The volume in use with this name and place, or a new one. The manager has its index follow
    /// the size of the zone.
    pub(super) fn of(name: &str, path: &CachePath) -> Arc<Self> {
        let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|_, volume| volume.strong_count() > 0);
        let known = live.get(name).and_then(Weak::upgrade);
        let is_same =
            |volume: &Arc<Self>| volume.folder == path.folder && volume.levels == path.levels;
        if let Some(volume) = known.filter(is_same) {
            return volume;
        }
        let volume = Arc::new(Self {
            number: NUMBERS.fetch_add(1, Relaxed),
            folder: path.folder.clone(),
            levels: path.levels,
            index: Index::new(path.limits.zone),
            counters: CacheCounters::of(name),
            max_size: AtomicU64::new(u64::MAX),
            wildcards: Wildcards::new(own_folder(&path.folder)),
            sought: Sought::default(),
            lock: Mutex::default(),
            restored: AtomicBool::new(false),
        });
        live.insert(name.to_owned(), Arc::downgrade(&volume));
        volume
    }

    /// The volumes in use, by the names of their zones.
    pub(super) fn all() -> Vec<(String, Arc<Self>)> {
        let live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
        let all = live.iter().filter_map(|(name, volume)| Some((name.clone(), volume.upgrade()?)));
        all.collect()
    }

    /// `max_size` in the configuration in force.
    pub(super) fn max_size(&self) -> Option<u64> {
        Some(self.max_size.load(Relaxed)).filter(|&most| most != u64::MAX)
    }

    /// Notes `max_size` of the configuration in force.
    pub(super) fn note_max_size(&self, most: Option<u64>) {
        self.max_size.store(most.unwrap_or(u64::MAX), Relaxed);
    }

    /// The folder for what a process leaves to the next one.
    pub(super) fn own_folder(&self) -> PathBuf {
        own_folder(&self.folder)
    }

    /// Takes the right to write the index file, unless another process or an earlier configuration
    /// has it. Returns whether it was taken now. On a folder that the file system does not lock,
    /// no one has it.
    pub(super) fn take_lock(&self) -> bool {
        let mut lock = self.lock();
        if lock.as_ref().is_some_and(|lock| lock.is_for(&self.folder)) {
            return false;
        }
        *lock = Lock::take(&self.folder).unwrap_or_default();
        lock.is_some()
    }

    /// Whether this process has the right to write the index file.
    pub(super) fn has_lock(&self) -> bool {
        self.lock().as_ref().is_some_and(|lock| lock.is_for(&self.folder))
    }

    /// Gives the right back.
    pub(super) fn unlock(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Lock>> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the entries that an earlier process has left are in the index.
    pub(super) fn is_restored(&self) -> bool {
        self.restored.load(Relaxed)
    }

    /// Notes that they are, as far as they could be read.
    pub(super) fn restored(&self) {
        self.restored.store(true, Relaxed);
    }

    /// The path of a response's file.
    pub(crate) fn file(&self, digest: &Digest) -> PathBuf {
        digest.path(&self.folder, self.levels)
    }

    /// Deletes the file of a response. A missing one is no error.
    pub(crate) fn delete(&self, digest: &Digest) -> std::io::Result<()> {
        delete(&self.file(digest))
    }
}

/// The folder beside responses for what a process leaves to the next one. Loaders look for no
/// responses there, and `rm -r folder/*` removes it with them.
fn own_folder(folder: &Path) -> PathBuf {
    folder.join("weir")
}

/// Opens a file for reading, without waiting if it is none (a named pipe).
pub(super) fn open(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Deletes a file, which may be missing, or have something else in its place.
pub(super) fn delete(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if !is_missing(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Whether there is no such file, but nothing or something else in its place or in a folder's.
pub(super) fn is_missing(error: &std::io::Error) -> bool {
    use ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory)
}

/// The number of bytes that a file of this length takes, as counted for `max_size`.
pub(crate) fn taken(length: u64) -> u64 {
    const DISK_BLOCK: u64 = 4096;
    length.next_multiple_of(DISK_BLOCK)
}
