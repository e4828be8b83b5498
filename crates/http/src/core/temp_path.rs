//! Folders for temporary files: `client_body_temp_path`, `proxy_temp_path` and the like.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use weir_conf::environment::errno_text;
use weir_conf::layout::TempFolder;
use weir_conf::value::parse_number;
use weir_conf::{Arity, Cx, Fault, Node, Value};
use weir_engine::os_error::Failed;

/// The maximum number of digits in all levels of subfolders.
const MAX_LEVEL_DIGITS: u64 = 10;

/// A folder for temporary files, and its levels of subfolders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TempPath {
    /// The folder.
    pub path: PathBuf,
    /// The number of digits that name a subfolder, for each level.
    pub levels: Vec<u8>,
}

impl Value for TempPath {
    const SYNTAX: &'static str = "path [level1 [level2 [level3]]]";
    const ARITY: Arity =
        Arity::exactly(1).or(Arity::exactly(2)).or(Arity::exactly(3)).or(Arity::exactly(4));

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let text = node.args[0].text();
        let path = cx.prefix_path(text.strip_suffix('/').unwrap_or(&text));
        let mut levels = Vec::new();
        for word in &node.args[1..] {
            let level =
                parse_number(&word.value).filter(|level| (1..=MAX_LEVEL_DIGITS).contains(level));
            levels.push(level.ok_or_else(|| Fault::bad_value().at(word))? as u8);
        }
        if levels.iter().map(|&level| u64::from(level)).sum::<u64>() > MAX_LEVEL_DIGITS {
            return Err(Fault::bad_value());
        }
        Ok(Self { path, levels })
    }
}

/// The number of the next temporary file.
static NUMBERS: AtomicU32 = AtomicU32::new(1);

/// The failure of a temporary file, which is neither the client's nor the upstream's fault.
#[derive(Debug)]
pub enum TempFileError {
    /// The location has no folder for it.
    NoFolder,
    /// A system call on the file at this path failed.
    Call(&'static str, PathBuf, io::Error),
}

impl TempFileError {
    /// A failed call.
    #[cold]
    pub(crate) fn new(call: &'static str, path: &Path, error: io::Error) -> Self {
        Self::Call(call, path.to_owned(), error)
    }
}

impl fmt::Display for TempFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFolder => f.write_str("there is no folder for temporary files"),
            Self::Call(call, path, error) => {
                Failed(&format!("{call} \"{}\" failed", path.display()), error).fmt(f)
            }
        }
    }
}

/// The maximum number of names to try if files of an earlier process exist.
const TRIES: usize = 10_000;

impl TempPath {
    /// Creates a file, open for reading and writing, and its name. Only with `named` does the file
    /// have that name.
    ///
    /// # Errors
    /// The folder is missing, not writable or full.
    pub fn create(&self, named: bool) -> Result<(File, PathBuf), TempFileError> {
        let created = if named { self.create_named() } else { self.create_unnamed() };
        created.map_err(|error| {
            let path = self.file(NUMBERS.load(Ordering::Relaxed).saturating_sub(1));
            TempFileError::new("open()", &path, error)
        })
    }

    fn create_unnamed(&self) -> io::Result<(File, PathBuf)> {
        let path = self.file(NUMBERS.fetch_add(1, Ordering::Relaxed));
        Ok((weir_engine::temp_file::create(&self.path)?, path))
    }

    fn create_named(&self) -> io::Result<(File, PathBuf)> {
        for _ in 0..TRIES {
            let path = self.file(NUMBERS.fetch_add(1, Ordering::Relaxed));
            if let Some(folder) = path.parent()
                && !self.levels.is_empty()
            {
                std::fs::create_dir_all(folder)?;
            }
            let mut options = std::fs::OpenOptions::new();
            options.read(true).write(true).create_new(true).mode(0o600);
            match options.open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                opened => return opened.map(|file| (file, path)),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// The path of a file. Its last digits name the first level, those before them the second.
    fn file(&self, number: u32) -> PathBuf {
        let name = format!("{number:010}");
        let mut path = self.path.clone();
        let mut end = name.len();
        for &level in &self.levels {
            let start = end.saturating_sub(usize::from(level));
            path.push(&name[start..end]);
            end = start;
        }
        path.push(name);
        path
    }

    /// Called by a table's `finish`: applies the default, and creates the folder unless the parent
    /// has it.
    pub fn settle(
        own: &mut Option<Self>,
        parent: Option<&Self>,
        default: Option<TempFolder>,
        cx: &mut Cx<'_>,
    ) -> Result<(), Fault> {
        if !cx.context().intersects(weir_conf::contexts!(http, server, location)) {
            return Ok(());
        }
        if let (None, Some(default)) = (&own, default) {
            let prefix = cx.prefix_path("");
            let path = cx.prefix_path(default.below(&prefix.to_string_lossy()));
            *own = Some(Self { path, levels: Vec::new() });
        }
        let Some(path) = own else { return Ok(()) };
        if parent.is_some_and(|parent| parent.path == path.path) {
            return Ok(());
        }
        cx.env().create_dir(&path.path).map_err(|error| {
            let why = errno_text(&error);
            Fault::new(format!("mkdir() \"{}\" failed {why}", path.path.display())).nowhere()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_named_by_the_last_digits() {
        let temp = TempPath { path: "/t".into(), levels: vec![1, 2] };
        assert_eq!(temp.file(1234), PathBuf::from("/t/4/23/0000001234"));
        let flat = TempPath { path: "/t".into(), levels: Vec::new() };
        assert_eq!(flat.file(7), PathBuf::from("/t/0000000007"));
    }
}
