//! `ssl_certificate_cache`: files that variables name, kept for a while.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use weir_engine::clock::{self, Instant};

/// The parameters of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// How many files there may be.
    pub max: usize,
    /// After how long one goes that nobody asked for.
    pub inactive: Duration,
    /// After how long a file is looked at again.
    pub valid: Duration,
}

/// Files by path. All threads share it, and every block that inherits the directive.
#[derive(Debug)]
pub struct FileCache {
    limits: CacheLimits,
    files: Mutex<HashMap<PathBuf, Entry>>,
}

#[derive(Debug)]
struct Entry {
    text: Arc<[u8]>,
    created: Instant,
    accessed: Instant,
    /// Inode and change of the file when it was read.
    identity: Option<(u64, i64, i64)>,
}

/// How many files that nobody asked for go when a new one comes: the work is spread.
const EXPIRED_AT_ONCE: usize = 2;

impl FileCache {
    /// An empty cache.
    pub fn new(limits: CacheLimits) -> Self {
        Self { limits, files: Mutex::default() }
    }

    /// The text of a file, read only if it has to be.
    ///
    /// # Errors
    /// The system's; nothing is kept then.
    pub fn read(&self, path: &Path) -> io::Result<Arc<[u8]>> {
        let now = clock::now();
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = files.get_mut(path) {
            let valid = now <= entry.created + self.limits.valid;
            if valid || identity(path).is_some_and(|found| Some(found) == entry.identity) {
                if !valid {
                    entry.created = now;
                }
                entry.accessed = now;
                return Ok(Arc::clone(&entry.text));
            }
            files.remove(path);
        }
        let identity = identity(path);
        let text: Arc<[u8]> = std::fs::read(path)?.into();
        self.make_room(&mut files, now);
        let entry = Entry { text: Arc::clone(&text), created: now, accessed: now, identity };
        files.insert(path.to_owned(), entry);
        Ok(text)
    }

    /// What is kept of a file.
    pub fn kept(&self, path: &Path) -> Option<Arc<[u8]>> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.get(path).map(|entry| Arc::clone(&entry.text))
    }

    /// Forgets a file: what was read turned out to be of no use.
    pub fn forget(&self, path: &Path) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
    }

    /// Lets go of what nobody asked for, and of the oldest one if there are still too many.
    fn make_room(&self, files: &mut HashMap<PathBuf, Entry>, now: Instant) {
        for _ in 0..EXPIRED_AT_ONCE {
            let Some((path, accessed)) = oldest(files) else { return };
            if now <= accessed + self.limits.inactive {
                break;
            }
            files.remove(&path);
        }
        if files.len() >= self.limits.max
            && let Some((path, _)) = oldest(files)
        {
            files.remove(&path);
        }
    }
}

fn oldest(files: &HashMap<PathBuf, Entry>) -> Option<(PathBuf, Instant)> {
    let (path, entry) = files.iter().min_by_key(|(_, entry)| entry.accessed)?;
    Some((path.clone(), entry.accessed))
}

fn identity(path: &Path) -> Option<(u64, i64, i64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.ino(), found.mtime(), found.mtime_nsec()))
}
