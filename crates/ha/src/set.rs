//! A configuration set: all files that a configuration reads, as the nodes of a pair exchange them.
//!
//! ```text
//!  "weir-set" 8 │ format 1 │ conf: place │ count 4 │ file … file │ count 4 │ pattern … pattern
//!  file:    place │ mode 4 │ length 4 │ bytes
//!  place:   base 1 (0 root, 1 prefix) │ length 4 │ path below it
//!  pattern: place │ count 4 │ place … place
//! ```
//!
//! Files below the prefix are named relative to it, so that the nodes' prefixes may differ. Places
//! are sorted: equal sets have equal bytes, and equal digests. A set comes from another machine, so
//! whatever it says is checked: no place leads out of its base.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_engine::digest::sha256;

mod place;
mod store;

pub use place::{PlaceError, Placing};
pub use store::{Store, StoreError, Stored};

const MAGIC: &[u8; 8] = b"weir-set";
const FORMAT: u8 = 1;

/// The number of files and of patterns.
const MOST_FILES: usize = 100_000;

/// The longest path, in bytes: `PATH_MAX`.
const LONGEST_PATH: usize = 4096;

/// The bits of a mode that a set carries: no set-user-ID, no sticky bit.
const MODE: u32 = 0o777;

/// A place in the file system of any node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Below the root.
    Root(PathBuf),
    /// Below the prefix (`-p`).
    Prefix(PathBuf),
}

/// A file of a set.
#[derive(Clone, PartialEq, Eq)]
pub struct SetFile {
    /// Its permissions.
    pub mode: u32,
    /// Its content.
    pub bytes: Arc<[u8]>,
}

impl fmt::Debug for SetFile {
    /// Without the content, which may be a private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, mode {:04o}", self.bytes.len(), self.mode)
    }
}

/// All files of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSet {
    /// The main configuration file.
    pub conf: Place,
    /// The files, the main one included.
    pub files: BTreeMap<Place, SetFile>,
    /// The patterns of `include` with the matching files. Others that match on another node are no
    /// part of the configuration.
    pub patterns: BTreeMap<Place, Vec<Place>>,
}

/// Bytes that are no set: the part that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSet(&'static str);

impl fmt::Display for NoSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration set has a malformed {}", self.0)
    }
}

impl std::error::Error for NoSet {}

impl Place {
    /// The place of an absolute path; `None` if it is relative or has `..` in it.
    pub fn of(path: &Path, prefix: &Path) -> Option<Self> {
        let below = match path.strip_prefix(prefix) {
            Ok(below) => Self::Prefix(below.to_owned()),
            Err(_) => Self::Root(path.strip_prefix("/").ok()?.to_owned()),
        };
        below.is_inside().then_some(below)
    }

    /// The path on this node.
    pub fn path(&self, prefix: &Path) -> PathBuf {
        match self {
            Self::Root(below) => Path::new("/").join(below),
            Self::Prefix(below) => prefix.join(below),
        }
    }

    fn parts(&self) -> (u8, &Path) {
        match self {
            Self::Root(below) => (0, below),
            Self::Prefix(below) => (1, below),
        }
    }

    /// Whether the path leads somewhere below its base.
    fn is_inside(&self) -> bool {
        let bytes = self.parts().1.as_os_str().as_bytes();
        let is_name = |part: &[u8]| !part.is_empty() && part != b"." && part != b"..";
        !bytes.is_empty()
            && bytes.len() <= LONGEST_PATH
            && !bytes.contains(&0)
            && bytes.split(|byte| *byte == b'/').all(is_name)
    }
}

impl FileSet {
    /// The set as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(FORMAT);
        put_place(&self.conf, &mut out);
        put_length(self.files.len(), &mut out);
        for (place, file) in &self.files {
            put_place(place, &mut out);
            out.extend_from_slice(&(file.mode & MODE).to_le_bytes());
            put_bytes(&file.bytes, &mut out);
        }
        put_length(self.patterns.len(), &mut out);
        for (pattern, found) in &self.patterns {
            put_place(pattern, &mut out);
            put_length(found.len(), &mut out);
            found.iter().for_each(|place| put_place(place, &mut out));
        }
        out
    }

    /// Reads a set.
    ///
    /// # Errors
    /// The bytes are no set, or one of its places leads out of its base.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NoSet> {
        let mut input = Input(bytes);
        if input.take(MAGIC.len())? != MAGIC || input.take(1)? != [FORMAT] {
            return Err(NoSet("head"));
        }
        let conf = input.place()?;
        let mut files = BTreeMap::new();
        for _ in 0..input.count()? {
            let place = input.place()?;
            let mode = input.number()? & MODE;
            let bytes = input.bytes(usize::MAX)?.into();
            // In order, so that there is one form of each set.
            if files.last_key_value().is_some_and(|(last, _)| *last >= place) {
                return Err(NoSet("order of files"));
            }
            files.insert(place, SetFile { mode, bytes });
        }
        let mut patterns = BTreeMap::new();
        for _ in 0..input.count()? {
            let pattern = input.place()?;
            let found = (0..input.count()?).map(|_| input.place()).collect::<Result<_, _>>()?;
            if patterns.last_key_value().is_some_and(|(last, _)| *last >= pattern) {
                return Err(NoSet("order of patterns"));
            }
            patterns.insert(pattern, found);
        }
        match input.0 {
            [] if files.contains_key(&conf) => Ok(Self { conf, files, patterns }),
            [] => Err(NoSet("main file")),
            _ => Err(NoSet("end")),
        }
    }

    /// Whether two sets make the same configuration. Files that were there keep their permissions,
    /// so these count for nothing.
    pub fn are_same(one: &[u8], other: &[u8]) -> bool {
        let content = |bytes| Self::from_bytes(bytes).ok().map(|set| set.content_digest());
        one == other || content(one).is_some_and(|one| Some(one) == content(other))
    }

    /// The digest of the configuration that the set makes.
    pub fn content_digest(&self) -> [u8; 32] {
        let mut set = self.clone();
        set.files.values_mut().for_each(|file| file.mode = 0);
        Self::digest(&set.to_bytes())
    }

    /// The SHA-256 digest of a set's bytes.
    pub fn digest(bytes: &[u8]) -> [u8; 32] {
        sha256(&[bytes])
    }
}

fn put_length(length: usize, out: &mut Vec<u8>) {
    // Larger sets are refused before they are sent.
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn put_place(place: &Place, out: &mut Vec<u8>) {
    let (base, below) = place.parts();
    out.push(base);
    put_bytes(below.as_os_str().as_bytes(), out);
}

/// The bytes of a set, read from the front.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], NoSet> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(NoSet("length"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, NoSet> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(NoSet("length"))?;
        self.0 = rest;
        Ok(u32::from_le_bytes(*taken))
    }

    fn count(&mut self) -> Result<usize, NoSet> {
        let count = self.number()? as usize;
        if count > MOST_FILES { Err(NoSet("number of files")) } else { Ok(count) }
    }

    fn bytes(&mut self, most: usize) -> Result<&'a [u8], NoSet> {
        let length = self.number()? as usize;
        if length > most { Err(NoSet("length")) } else { self.take(length) }
    }

    fn place(&mut self) -> Result<Place, NoSet> {
        let base = self.take(1)?[0];
        let below = PathBuf::from(OsStr::from_bytes(self.bytes(LONGEST_PATH)?));
        let place = match base {
            0 => Place::Root(below),
            1 => Place::Prefix(below),
            _ => return Err(NoSet("place")),
        };
        if place.is_inside() { Ok(place) } else { Err(NoSet("place")) }
    }
}

/// Reads a set, for the fuzzer: what is read is written as it was.
pub fn fuzz(bytes: &[u8]) {
    if let Ok(set) = FileSet::from_bytes(bytes) {
        assert_eq!(FileSet::from_bytes(&set.to_bytes()).as_ref(), Ok(&set));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn set(files: &[(&str, &str)]) -> FileSet {
        let place = |path: &str| Place::of(Path::new(path), Path::new("/p")).unwrap();
        let file = |text: &str| SetFile { mode: 0o640, bytes: text.as_bytes().into() };
        FileSet {
            conf: place("/p/nginx.conf"),
            files: files.iter().map(|(path, text)| (place(path), file(text))).collect(),
            patterns: BTreeMap::from([(
                place("/p/conf.d/*.conf"),
                vec![place("/p/conf.d/a.conf")],
            )]),
        }
    }

    #[test]
    fn a_set_is_read_as_it_was_written() {
        let set = set(&[("/p/nginx.conf", "events {}"), ("/etc/ssl/key.pem", "secret")]);
        let bytes = set.to_bytes();
        assert_eq!(FileSet::from_bytes(&bytes), Ok(set.clone()));
        assert!(!format!("{set:?}").contains("secret"));
        for length in 0..bytes.len() {
            assert!(FileSet::from_bytes(&bytes[..length]).is_err());
        }
        let longer = [&bytes[..], b"x"].concat();
        assert_eq!(FileSet::from_bytes(&longer), Err(NoSet("end")));
        assert_eq!(set.conf.path(Path::new("/other")), Path::new("/other/nginx.conf"));
    }

    #[test]
    fn permissions_make_no_other_configuration() {
        let one = set(&[("/p/nginx.conf", "one")]);
        let mut open = one.clone();
        open.files.values_mut().for_each(|file| file.mode = 0o644);
        let other = set(&[("/p/nginx.conf", "two")]);
        assert!(FileSet::are_same(&one.to_bytes(), &open.to_bytes()));
        assert!(!FileSet::are_same(&one.to_bytes(), &other.to_bytes()));
        assert!(!FileSet::are_same(&one.to_bytes(), b"") && FileSet::are_same(b"", b""));
    }

    #[test]
    fn no_place_leads_out_of_its_base() {
        let prefix = Path::new("/p");
        for path in ["x", "/p", "/p/../x", "/x/./../y", "/"] {
            assert_eq!(Place::of(Path::new(path), prefix), None, "{path}");
        }
        for below in ["../x", "a/../b", "/x", "", "a//b", "a/", ".", "a\0b"] {
            let conf = Place::Prefix(below.into());
            let wrong = FileSet { conf, files: BTreeMap::new(), patterns: BTreeMap::new() };
            assert_eq!(FileSet::from_bytes(&wrong.to_bytes()), Err(NoSet("place")), "{below:?}");
        }
    }

    #[test]
    fn a_set_has_its_main_file_and_one_form() {
        let missing = set(&[("/p/other.conf", "")]);
        assert_eq!(FileSet::from_bytes(&missing.to_bytes()), Err(NoSet("main file")));
        let whole = set(&[("/p/nginx.conf", ""), ("/p/a", "")]).to_bytes();
        let swapped = set(&[("/p/nginx.conf", ""), ("/p/z", "")]).to_bytes();
        let at = swapped.iter().position(|byte| *byte == b'z').unwrap();
        let mut bytes = swapped.clone();
        bytes[at] = b'a';
        assert_eq!(bytes.len(), whole.len());
        assert_eq!(FileSet::from_bytes(&bytes), Err(NoSet("order of files")));
    }
}
