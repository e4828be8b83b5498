//! A walk through the files of a cache, with pauses.

use std::fs::ReadDir;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Spell;
use crate::cache::faults::not_worked_on;
use crate::cache::key::Digest;
use crate::cache::path::Pace;
use crate::cache::volume::Volume;

/// A file that a walk meets.
pub(super) struct Met<'a> {
    /// Its name.
    pub(super) name: &'a [u8],
    /// Its path.
    pub(super) path: &'a Path,
    /// Whether it is as many folders deep as responses are.
    is_deep: bool,
}

impl Met<'_> {
    /// The digest of a response by the name of its file.
    pub(super) fn digest(&self) -> Option<Digest> {
        if self.is_deep { Digest::from_name(self.name) } else { None }
    }
}

/// A walk through the folder, level by level.
#[derive(Default)]
pub(super) struct Walk {
    /// The folders being read, from the top. None before the start.
    open: Option<Vec<ReadDir>>,
    /// Whether a folder could not be read.
    pub(super) has_failed: bool,
}

impl Walk {
    /// Calls `meet` with files until a pause. It returns whether it has looked into the file.
    /// Returns whether there are more.
    pub(super) fn go_on(
        &mut self,
        volume: &Volume,
        pace: Pace,
        mut meet: impl FnMut(&Met<'_>) -> bool,
    ) -> bool {
        let mut spell = Spell::begin(pace);
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.read_dir(&volume.folder),
        };
        while let Some(folder) = open.last_mut() {
            let Some(Ok(entry)) = folder.next() else {
                open.pop();
                continue;
            };
            let (name, path) = (entry.file_name(), entry.path());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if open.len() <= volume.levels.depth() && name.len() <= 2 {
                    open.extend(self.read_dir(&path));
                }
                continue;
            }
            let is_deep = open.len() == volume.levels.depth() + 1;
            let is_read = meet(&Met { name: name.as_bytes(), path: &path, is_deep });
            if spell.is_over(u64::from(is_read)) {
                self.open = Some(open);
                return true;
            }
        }
        false
    }

    /// A folder that can be read.
    fn read_dir(&mut self, path: &Path) -> Vec<ReadDir> {
        match std::fs::read_dir(path) {
            Ok(folder) => vec![folder],
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                self.has_failed = true;
                not_worked_on("opendir()", path, &error);
                Vec::new()
            }
        }
    }
}
