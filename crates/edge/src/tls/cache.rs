//! `ssl_certificate_cache`: a cache of files named by variables.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use weir_engine::clock::{self, Instant};

/// The limits of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// The maximum number of files.
    pub max: usize,
    /// The time without use after which a file is removed.
    pub inactive: Duration,
    /// The time after which a file is checked for changes.
    pub valid: Duration,
}

/// Files by path, shared by all threads and all blocks that inherit the directive.
#[derive(Debug)]
pub struct FileCache {
    limits: CacheLimits,
    files: Mutex<HashMap<PathBuf, CachedFile>>,
}

#[derive(Debug)]
struct CachedFile {
    text: Arc<[u8]>,
    created: Instant,
    accessed: Instant,
    /// Inode and modification time of the file when it was read.
    identity: Option<(u64, i64, i64)>,
}

/// The maximum number of unused files removed for a new one, which spreads the work.
const EXPIRED_AT_ONCE: usize = 2;

impl FileCache {
    /// An empty cache.
    pub fn new(limits: CacheLimits) -> Self {
        Self { limits, files: Mutex::default() }
    }

    /// The content of a file, read only if necessary.
    ///
    /// # Errors
    /// The system's error. Nothing is cached then.
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
        let entry = CachedFile { text: Arc::clone(&text), created: now, accessed: now, identity };
        files.insert(path.to_owned(), entry);
        Ok(text)
    }

    /// The cached content of a file.
    pub fn kept(&self, path: &Path) -> Option<Arc<[u8]>> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.get(path).map(|entry| Arc::clone(&entry.text))
    }

    /// Removes a file whose content is unusable.
    pub fn forget(&self, path: &Path) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
    }

    /// Removes unused files, and the oldest one if there are still too many.
    fn make_room(&self, files: &mut HashMap<PathBuf, CachedFile>, now: Instant) {
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

fn oldest(files: &HashMap<PathBuf, CachedFile>) -> Option<(PathBuf, Instant)> {
    let (path, entry) = files.iter().min_by_key(|(_, entry)| entry.accessed)?;
    Some((path.clone(), entry.accessed))
}

fn identity(path: &Path) -> Option<(u64, i64, i64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.ino(), found.mtime(), found.mtime_nsec()))
}
