//! A cache in use: its folder and its index. A reload finds it by its name.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::index::Index;
use super::key::{Digest, Levels};
use super::path::CachePath;

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
        });
        live.insert(name.to_owned(), Arc::downgrade(&volume));
        volume
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
