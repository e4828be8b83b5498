//! The durable state of the configuration's mirror.
//!
//! ```text
//! <state folder>/ha/mirror/   0700
//!   state                     the mirror's state, which names the digest of the set in force
//!   sets/<digest>             the set in force, and the one before while another is being applied
//!   placing                   there while a set's files are being placed
//!   aside/<name>/…            sets and files that others have replaced
//! ```
//!
//! A set is durable before the state that names it, and the state takes its place by one rename.
//! Files are placed after it: a node that dies meanwhile goes on when it starts.

use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_engine::temp_file::replace_as;

use super::place::failed;
use super::{FileSet, NoSet, PlaceError, Placing};

/// For the owner alone, since sets have private keys in them.
const MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// The folder of the mirror's state.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    prefix: PathBuf,
}

/// Why a set was not stored.
#[derive(Debug)]
pub enum StoreError {
    /// The bytes are no set.
    Content(NoSet),
    /// A file could not be written or placed.
    Call(PlaceError),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content(error) => error.fmt(f),
            Self::Call(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<NoSet> for StoreError {
    fn from(error: NoSet) -> Self {
        Self::Content(error)
    }
}

impl From<PlaceError> for StoreError {
    fn from(error: PlaceError) -> Self {
        Self::Call(error)
    }
}

/// A state with the bytes of its set.
pub type Stored = (Vec<u8>, Arc<[u8]>);

impl Store {
    /// A store, made if it is missing. `prefix` is the base of relative places.
    ///
    /// # Errors
    /// Those of mkdir(2).
    pub fn open(folder: &Path, prefix: &Path) -> io::Result<Self> {
        for part in [folder.to_owned(), folder.join("sets")] {
            DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(part)?;
        }
        Ok(Self { folder: folder.to_owned(), prefix: prefix.to_owned() })
    }

    /// A store that was made before.
    pub fn existing(folder: &Path, prefix: &Path) -> Option<Self> {
        let store = Self { folder: folder.to_owned(), prefix: prefix.to_owned() };
        folder.is_dir().then_some(store)
    }

    /// The stored state; `digest_of` finds the digest of the set in it. `None` if nothing was
    /// stored, or if the set is damaged.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn read(
        &self,
        digest_of: impl FnOnce(&[u8]) -> Option<[u8; 32]>,
    ) -> io::Result<Option<Stored>> {
        let Some(state) = read_if_there(&self.folder.join("state"))? else { return Ok(None) };
        let Some(digest) = digest_of(&state) else { return Ok(None) };
        let set = read_if_there(&self.set(&digest))?;
        let set = set.filter(|set| FileSet::digest(set) == digest);
        Ok(set.map(|set| (state, set.into())))
    }

    /// Whether a set's files have not all been placed.
    pub fn is_unfinished(&self) -> bool {
        self.folder.join("placing").exists()
    }

    /// Stores a state beside the set in force.
    ///
    /// # Errors
    /// Those of writing a file. The earlier state is still there.
    pub fn keep(&self, state: &[u8]) -> io::Result<()> {
        replace_as(&self.folder.join("state"), MODE, state)
    }

    /// Stores a set with its state, and places its files if `place` says so.
    ///
    /// # Errors
    /// A file could not be written. If that was before the first file took its place, nothing has
    /// changed; otherwise [`Store::is_unfinished`].
    pub fn put(&self, bytes: &[u8], state: &[u8], place: bool) -> Result<(), StoreError> {
        let set = FileSet::from_bytes(bytes)?;
        let digest = FileSet::digest(bytes);
        let placing =
            place.then(|| Placing::begin(&set, &self.prefix, &self.aside("files"))).transpose()?;
        self.write(&self.set(&digest), bytes)?;
        let Some(placing) = placing else {
            return Ok(self.write(&self.folder.join("state"), state)?);
        };
        self.write(&self.folder.join("placing"), b"")?;
        self.write(&self.folder.join("state"), state)?;
        placing.finish()?;
        let placing = self.folder.join("placing");
        Ok(fs::remove_file(&placing).map_err(failed("unlink()", &placing))?)
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<(), PlaceError> {
        replace_as(path, MODE, content).map_err(failed("write()", path))
    }

    /// Forgets the state, as if nothing had been stored.
    pub fn forget_state(&self) {
        for name in ["state", "placing"] {
            let _ = fs::remove_file(self.folder.join(name));
        }
    }

    /// Removes all sets but this one.
    pub fn forget_all_but(&self, digest: &[u8; 32]) {
        let keep = self.set(digest);
        let Ok(sets) = fs::read_dir(self.folder.join("sets")) else { return };
        for set in sets.flatten().map(|entry| entry.path()).filter(|path| *path != keep) {
            let _ = fs::remove_file(set);
        }
    }

    /// Writes a set's files below `aside`, under a name; returns the folder.
    ///
    /// # Errors
    /// The bytes are no set, or a file could not be written.
    pub fn keep_aside(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, StoreError> {
        let set = FileSet::from_bytes(bytes)?;
        let folder = self.aside(name);
        for (place, file) in &set.files {
            let (base, below) = place.parts();
            let base = folder.join(if base == 0 { "root" } else { "prefix" });
            let path = base.join(below);
            let parent = path.parent().unwrap_or(&base);
            let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(parent);
            made.map_err(failed("mkdir()", parent))?;
            self.write(&path, &file.bytes)?;
        }
        Ok(folder)
    }

    fn set(&self, digest: &[u8; 32]) -> PathBuf {
        let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join("sets").join(name)
    }

    fn aside(&self, name: &str) -> PathBuf {
        self.folder.join("aside").join(name)
    }
}

fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::set;
    use super::*;

    /// The state is the digest, in these tests.
    fn digest_of(state: &[u8]) -> Option<[u8; 32]> {
        state.try_into().ok()
    }

    fn store(name: &str) -> (PathBuf, Store) {
        let prefix = std::env::temp_dir().join(format!("weir-store-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&prefix);
        fs::create_dir_all(&prefix).unwrap();
        let store = Store::open(&prefix.join("ha/mirror"), &prefix).unwrap();
        (prefix, store)
    }

    #[test]
    fn a_set_is_stored_and_placed() {
        let (prefix, store) = store("stored");
        assert_eq!(store.read(digest_of).unwrap(), None);
        let mut before = None;
        for text in ["one", "two"] {
            let bytes = set(&[("/p/nginx.conf", text)]).to_bytes();
            let digest = FileSet::digest(&bytes);
            store.put(&bytes, &digest, true).unwrap();
            assert_eq!(fs::read_to_string(prefix.join("nginx.conf")).unwrap(), text);
            let stored = store.read(digest_of).unwrap().unwrap();
            assert_eq!(stored, (digest.to_vec(), bytes.into()));
            // The one before is there in case that this one cannot be put in force.
            assert!(before.is_none_or(|before| store.set(&before).exists()));
            before = Some(digest);
        }
        store.forget_all_but(&before.unwrap());
        assert_eq!(fs::read_dir(prefix.join("ha/mirror/sets")).unwrap().count(), 1);
        assert!(!store.is_unfinished());
        fs::remove_dir_all(prefix).unwrap();
    }

    #[test]
    fn a_set_that_cannot_be_placed_leaves_the_earlier_one() {
        let (prefix, store) = store("refused");
        let good = set(&[("/p/nginx.conf", "good")]).to_bytes();
        store.put(&good, &FileSet::digest(&good), true).unwrap();
        fs::write(prefix.join("z"), "").unwrap();
        let bad = set(&[("/p/nginx.conf", "bad"), ("/p/z/file", "")]).to_bytes();
        store.put(&bad, &FileSet::digest(&bad), true).unwrap_err();
        assert_eq!(*store.read(digest_of).unwrap().unwrap().1, *good);
        assert_eq!(fs::read_to_string(prefix.join("nginx.conf")).unwrap(), "good");
        assert!(!store.is_unfinished());
        fs::remove_dir_all(prefix).unwrap();
    }

    #[test]
    fn a_damaged_set_counts_as_none() {
        let (prefix, store) = store("damaged");
        let bytes = set(&[("/p/nginx.conf", "x")]).to_bytes();
        let digest = FileSet::digest(&bytes);
        store.put(&bytes, &digest, true).unwrap();
        fs::write(store.set(&digest), b"half").unwrap();
        assert_eq!(store.read(digest_of).unwrap(), None);
        fs::remove_dir_all(prefix).unwrap();
    }

    #[test]
    fn a_loser_is_kept_where_it_is_found() {
        let (prefix, store) = store("aside");
        let bytes = set(&[("/p/nginx.conf", "lost"), ("/etc/ssl/key", "k")]).to_bytes();
        let folder = store.keep_aside("3-of-b", &bytes).unwrap();
        assert_eq!(fs::read_to_string(folder.join("prefix/nginx.conf")).unwrap(), "lost");
        assert_eq!(fs::read_to_string(folder.join("root/etc/ssl/key")).unwrap(), "k");
        fs::remove_dir_all(prefix).unwrap();
    }
}
