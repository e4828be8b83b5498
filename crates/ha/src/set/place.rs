//! Writing a set's files to their places.
//!
//! All new contents are written beside their places before the first one is renamed, so that a full
//! disk changes nothing. A symbolic link stays, and its target gets the content. What a file had
//! before is kept in a folder where an administrator finds it, since somebody may have been editing
//! it; a file that a pattern of `include` matches and the set lacks is moved there.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use weir_sys::glob::glob;

use super::{FileSet, SetFile};

/// The end of a new file's name until it takes its place.
const NEW: &str = ".weir-new";

/// The number of links that lead from one to the next; Linux's limit.
const LINKS: usize = 40;

/// A call that failed, and its file.
#[derive(Debug)]
pub struct PlaceError {
    call: &'static str,
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} \"{}\" failed ({})", self.call, self.path.display(), self.error)
    }
}

impl std::error::Error for PlaceError {}

type Result<T> = std::result::Result<T, PlaceError>;

pub(super) fn failed(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PlaceError {
    let path = path.to_owned();
    move |error| PlaceError { call, path, error }
}

/// New files that wait beside their places. Dropped before [`Placing::finish`], they vanish.
#[derive(Debug)]
pub struct Placing {
    /// The new files with their places.
    waiting: Vec<(PathBuf, PathBuf)>,
    /// Files that are no part of the set.
    surplus: Vec<PathBuf>,
    /// The folder for what was there before.
    aside: PathBuf,
}

impl Placing {
    /// Writes the files of `set` that differ beside their places below `prefix`, and copies what
    /// these have now below `aside`.
    ///
    /// # Errors
    /// A file could not be written, or a folder not be made or read. No place has changed.
    pub fn begin(set: &FileSet, prefix: &Path, aside: &Path) -> Result<Self> {
        let (surplus, aside) = (surplus(set, prefix)?, aside.to_owned());
        let mut placing = Self { waiting: Vec::new(), surplus, aside };
        for (place, file) in &set.files {
            let path = target(&place.path(prefix))?;
            if !has(&path, file) {
                placing.write(path, file)?;
            }
        }
        Ok(placing)
    }

    fn write(&mut self, path: PathBuf, file: &SetFile) -> Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed("mkdir()", folder))?;
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(NEW);
        let new = path.with_file_name(name);
        // Left by a process that was killed.
        let _ = fs::remove_file(&new);
        self.waiting.push((new.clone(), path.clone()));
        write(&new, &path, file).map_err(failed("write()", &new))?;
        if path.exists() {
            let kept = self.kept(&path)?;
            fs::copy(&path, &kept).map_err(failed("write()", &kept))?;
        }
        Ok(())
    }

    /// The place for what a file had before, in a folder that is there.
    fn kept(&self, path: &Path) -> Result<PathBuf> {
        let kept = self.aside.join(path.strip_prefix("/").unwrap_or(path));
        let folder = kept.parent().unwrap_or(&self.aside);
        fs::create_dir_all(folder).map_err(failed("mkdir()", folder))?;
        Ok(kept)
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.surplus.is_empty()
    }

    /// Renames the new files to their places, and moves surplus ones away.
    ///
    /// # Errors
    /// A file could not be renamed. Places before it have changed.
    pub fn finish(mut self) -> Result<()> {
        for (new, path) in &self.waiting {
            fs::rename(new, path).map_err(failed("rename()", path))?;
            synchronise(path)?;
        }
        self.waiting.clear();
        for path in &self.surplus {
            let kept = self.kept(path)?;
            let moved = fs::rename(path, &kept)
                .or_else(|_| fs::copy(path, &kept).and_then(|_| fs::remove_file(path)));
            moved.map_err(failed("rename()", path))?;
            synchronise(path)?;
        }
        Ok(())
    }
}

impl Drop for Placing {
    fn drop(&mut self) {
        for (new, _) in &self.waiting {
            let _ = fs::remove_file(new);
        }
    }
}

/// Makes a change of a folder durable.
fn synchronise(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("fsync()", folder))
}

/// The files that the patterns match and the set lacks.
fn surplus(set: &FileSet, prefix: &Path) -> Result<Vec<PathBuf>> {
    let mut surplus = Vec::new();
    let known: Vec<PathBuf> = set.files.keys().map(|place| place.path(prefix)).collect();
    for pattern in set.patterns.keys() {
        let pattern = pattern.path(prefix);
        let found = pattern.to_str().map_or_else(|| Ok(Vec::new()), glob);
        let found = found.map_err(failed("glob()", &pattern))?;
        surplus.extend(found.into_iter().filter(|path| !known.contains(path) && path.is_file()));
    }
    surplus.sort();
    surplus.dedup();
    Ok(surplus)
}

/// The file that a path leads to, through symbolic links. It need not exist.
fn target(path: &Path) -> Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&path) {
            Ok(next) => path = path.parent().unwrap_or(Path::new("/")).join(next),
            Err(_) => return Ok(path),
        }
    }
    let error = io::Error::from_raw_os_error(rustix::io::Errno::LOOP.raw_os_error());
    Err(failed("readlink()", &path)(error))
}

fn has(path: &Path, file: &SetFile) -> bool {
    fs::metadata(path).is_ok_and(|found| found.len() == file.bytes.len() as u64)
        && fs::read(path).is_ok_and(|bytes| *bytes == *file.bytes)
}

/// Writes a new file with the owner and the permissions of the one it replaces, if there is one.
fn write(new: &Path, old: &Path, file: &SetFile) -> io::Result<()> {
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
    let mode = match fs::metadata(old) {
        Ok(found) => {
            chown(new, Some(found.uid()), Some(found.gid()))?;
            found.permissions().mode() & super::MODE
        }
        Err(_) => file.mode,
    };
    out.set_permissions(fs::Permissions::from_mode(mode))?;
    out.write_all(&file.bytes)?;
    out.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::tests::set;
    use super::*;
    use std::os::unix::fs::symlink;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("weir-set-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn files_get_their_content_and_others_move_aside() {
        let prefix = folder("place");
        fs::create_dir_all(prefix.join("conf.d")).unwrap();
        fs::create_dir_all(prefix.join("archive")).unwrap();
        fs::write(prefix.join("nginx.conf"), "old").unwrap();
        fs::set_permissions(prefix.join("nginx.conf"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(prefix.join("conf.d/gone.conf"), "gone").unwrap();
        fs::write(prefix.join("archive/key1.pem"), "key 1").unwrap();
        symlink("archive/key1.pem", prefix.join("key.pem")).unwrap();
        let files = [
            ("/p/nginx.conf", "new"),
            ("/p/conf.d/a.conf", "a"),
            ("/p/key.pem", "key 2"),
            ("/p/deep/er/file", "deep"),
        ];
        let set = set(&files);
        let aside = prefix.join("aside");
        let placing = Placing::begin(&set, &prefix, &aside).unwrap();
        assert_eq!(fs::read_to_string(prefix.join("nginx.conf")).unwrap(), "old");
        placing.finish().unwrap();
        for (path, text) in files {
            let path = prefix.join(&path[3..]);
            assert_eq!(fs::read_to_string(&path).unwrap(), text, "{path:?}");
        }
        let mode = |name: &str| fs::metadata(prefix.join(name)).unwrap().mode() & 0o777;
        assert_eq!((mode("nginx.conf"), mode("conf.d/a.conf")), (0o600, 0o640));
        assert_eq!(fs::read_to_string(prefix.join("archive/key1.pem")).unwrap(), "key 2");
        assert!(!prefix.join("conf.d/gone.conf").exists());
        let below = prefix.strip_prefix("/").unwrap();
        for (name, before) in
            [("conf.d/gone.conf", "gone"), ("nginx.conf", "old"), ("archive/key1.pem", "key 1")]
        {
            assert_eq!(fs::read_to_string(aside.join(below).join(name)).unwrap(), before);
        }
        assert!(Placing::begin(&set, &prefix, &aside).unwrap().is_empty());
        fs::remove_dir_all(prefix).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_written_changes_nothing() {
        let prefix = folder("refused");
        fs::write(prefix.join("nginx.conf"), "old").unwrap();
        // A file is in the place of a folder.
        fs::write(prefix.join("z"), "").unwrap();
        let set = set(&[("/p/nginx.conf", "new"), ("/p/z/file", "")]);
        let error = Placing::begin(&set, &prefix, &prefix.join("aside")).unwrap_err().to_string();
        assert!(error.starts_with("mkdir() ") && error.contains("/z\" failed"), "{error}");
        assert_eq!(fs::read_to_string(prefix.join("nginx.conf")).unwrap(), "old");
        let names = fs::read_dir(&prefix).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.filter(|name| name.to_string_lossy().contains("new")).count(), 0);
        fs::remove_dir_all(prefix).unwrap();
    }

    #[test]
    fn links_in_a_circle_are_refused() {
        let prefix = folder("circle");
        symlink("b", prefix.join("nginx.conf")).unwrap();
        symlink("nginx.conf", prefix.join("b")).unwrap();
        let error = Placing::begin(&set(&[("/p/nginx.conf", "")]), &prefix, &prefix).unwrap_err();
        assert!(error.to_string().starts_with("readlink() "), "{error}");
        fs::remove_dir_all(prefix).unwrap();
    }
}
