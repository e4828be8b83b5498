//! Purges of all keys with a prefix that the purger has not carried out yet (`purger=on`). Each is
//! in a file, too, so that none is forgotten with the process.
//!
//! ```text
//!  request ──▶ pending: what is older is not used ──▶ walk of the purger over all files ──▶ done
//! ```

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::file::sum;
use super::key::Digest;
use super::volume;

/// The maximum number of pending purges.
const MOST: usize = 1024;

/// The maximum length of the file of a purge. Keys fit into a buffer for heads.
const LONGEST: u64 = 1024 * 1024;

const MAGIC: &[u8; 8] = b"WeirPrg1";

/// Files have not been looked for.
const UNKNOWN: u8 = 0;
/// There are no purges.
const NONE: u8 = 1;
/// There are some.
const SOME: u8 = 2;

/// A purge that is not carried out yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wildcard {
    /// The beginning of the keys.
    pub(super) prefix: Vec<u8>,
    /// Versions below this one are purged.
    pub(super) before: u64,
}

/// The purges of a cache.
#[derive(Debug)]
pub(crate) struct Wildcards {
    /// The folder of their files.
    folder: PathBuf,
    state: AtomicU8,
    pending: RwLock<Vec<Wildcard>>,
}

impl Wildcards {
    /// Those with files in this folder.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, state: AtomicU8::new(UNKNOWN), pending: RwLock::default() }
    }

    /// Adds a purge.
    ///
    /// # Errors
    /// There are too many, or its file cannot be written.
    pub(super) fn add(&self, prefix: &[u8], before: u64) -> io::Result<()> {
        self.load();
        let mut pending = self.write();
        let known = pending.iter_mut().find(|known| known.prefix == prefix);
        if known.is_none() && pending.len() >= MOST {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        self.write_file(prefix)?;
        let known = pending.iter_mut().find(|known| known.prefix == prefix);
        match known {
            Some(known) => known.before = before,
            None => pending.push(Wildcard { prefix: prefix.to_vec(), before }),
        }
        self.state.store(SOME, Ordering::Release);
        Ok(())
    }

    /// The version below which a response with this key is purged; None if no purge is meant.
    #[inline]
    pub(super) fn before(&self, key: &[u8]) -> Option<u64> {
        if self.state.load(Ordering::Acquire) == NONE {
            return None;
        }
        self.load();
        let pending = self.read();
        let meant = pending.iter().filter(|wildcard| key.starts_with(&wildcard.prefix));
        meant.map(|wildcard| wildcard.before).max()
    }

    /// All purges.
    pub(super) fn pending(&self) -> Vec<Wildcard> {
        self.load();
        self.read().clone()
    }

    /// Forgets purges that have been carried out. One that was asked for again since stays.
    pub(super) fn done(&self, done: &[Wildcard]) {
        let mut pending = self.write();
        pending.retain(|wildcard| {
            let is_done = done.contains(wildcard);
            if is_done {
                let _ = volume::delete(&self.path(&wildcard.prefix));
            }
            !is_done
        });
        if pending.is_empty() {
            self.state.store(NONE, Ordering::Release);
        }
    }

    /// Reads the files that an earlier process has left. All that it has kept is older.
    #[cold]
    fn load(&self) {
        if self.state.load(Ordering::Acquire) != UNKNOWN {
            return;
        }
        let mut pending = self.write();
        if self.state.load(Ordering::Acquire) != UNKNOWN {
            return;
        }
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten().take(2 * MOST)
        {
            if entry.file_name().as_bytes().ends_with(b".purge")
                && let Some(prefix) = read_file(&entry.path())
            {
                pending.push(Wildcard { prefix, before: super::index::FIRST_VERSION });
            }
        }
        let state = if pending.is_empty() { NONE } else { SOME };
        self.state.store(state, Ordering::Release);
    }

    fn path(&self, prefix: &[u8]) -> PathBuf {
        self.folder.join(format!("{}.purge", Digest::of(prefix)))
    }

    fn write_file(&self, prefix: &[u8]) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let (path, new) = (self.path(prefix), self.folder.join("purge.new"));
        let mut options = OpenOptions::new();
        let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&new)?;
        let parts = [&MAGIC[..], &sum(prefix).to_le_bytes(), prefix];
        file.write_all(&parts.concat())?;
        std::fs::rename(new, path)
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Wildcard>> {
        self.pending.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Wildcard>> {
        self.pending.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The prefix in the file of a purge.
fn read_file(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    volume::open(path).ok()?.take(LONGEST + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 > LONGEST {
        return None;
    }
    let (expected, prefix) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
    (*expected == sum(prefix).to_le_bytes()).then(|| prefix.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that is deleted at the end of a test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("weir-wildcards-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_purge_is_pending_until_it_is_done() {
        let folder = Folder::new("pending");
        let wildcards = Wildcards::new(folder.0.join("weir"));
        assert_eq!(wildcards.before(b"/a/1"), None);
        wildcards.add(b"/a/", 10).unwrap();
        wildcards.add(b"/a/b/", 12).unwrap();
        assert_eq!(wildcards.before(b"/a/1"), Some(10));
        assert_eq!(wildcards.before(b"/a/b/1"), Some(12));
        assert_eq!(wildcards.before(b"/b/"), None);
        let begun = wildcards.pending();
        wildcards.add(b"/a/", 20).unwrap();
        wildcards.done(&begun);
        assert_eq!(wildcards.before(b"/a/b/1"), Some(20), "asked for again meanwhile");
        // Another process knows what is left; all that is there is older.
        let next = Wildcards::new(folder.0.join("weir"));
        assert_eq!(next.before(b"/a/1"), Some(super::super::index::FIRST_VERSION));
        next.done(&next.pending());
        assert_eq!(Wildcards::new(folder.0.join("weir")).before(b"/a/1"), None);
    }

    #[test]
    fn damaged_files_are_no_purges() {
        let folder = Folder::new("damaged");
        for (name, content) in [("1.purge", &b"WeirPrg1"[..]), ("2.purge", b""), ("3.purge", b"x")]
        {
            std::fs::write(folder.0.join(name), content).unwrap();
        }
        assert_eq!(Wildcards::new(folder.0.clone()).before(b""), None);
    }

    #[test]
    fn their_number_is_limited() {
        let folder = Folder::new("many");
        let wildcards = Wildcards::new(folder.0.clone());
        for number in 0..MOST {
            wildcards.add(format!("/{number}").as_bytes(), 3).unwrap();
        }
        assert!(wildcards.add(b"/x", 3).is_err());
        wildcards.add(b"/1", 4).unwrap();
    }
}
