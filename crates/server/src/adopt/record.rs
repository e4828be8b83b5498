//! The record of an adoption, a file that Weir reads at each start under the replaced name.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Reason;
use super::nginx::Nginx;

/// The file of the record.
const FILE: &str = "/etc/weir/adopted";

/// The file before it is whole.
const NEW: &str = "/etc/weir/adopted.new";

/// The first line of the file.
const HEAD: &str =
    "# Written by \"weir adopt\". \"weir adopt --back\" gives the host back to nginx.\n";

/// Which program was replaced, where it is kept, and its arguments of `configure`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(super) program: PathBuf,
    pub(super) kept: PathBuf,
    pub(super) configure: String,
}

impl Record {
    pub(super) fn of(nginx: &Nginx, kept: PathBuf) -> Self {
        Self { program: nginx.program.clone(), kept, configure: nginx.configure.clone() }
    }

    /// The record of this host; `None` if it has not been adopted, or the file is not root's.
    pub(super) fn read() -> Option<Self> {
        let path = Path::new(FILE);
        let is_roots = |path: &Path| {
            fs::symlink_metadata(path).is_ok_and(|data| data.uid() == 0 && data.mode() & 0o022 == 0)
        };
        if !is_roots(path) || !is_roots(path.parent()?) {
            return None;
        }
        Self::parse(&fs::read_to_string(path).ok()?)
    }

    /// The record, if a program that was called by this name stands in for nginx.
    pub(super) fn of_program(called: &OsStr) -> Option<Self> {
        let is_named = Path::new(called).file_name() == Some(OsStr::new("nginx"));
        let record = is_named.then(Self::read)??;
        (record.program.file_name() == Some(OsStr::new("nginx"))).then_some(record)
    }

    fn parse(text: &str) -> Option<Self> {
        let line = |name: &str| {
            let lines = text.lines().filter_map(|line| line.split_once('='));
            lines.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
        };
        Some(Self {
            program: line("program")?.into(),
            kept: line("kept")?.into(),
            configure: line("configure")?.to_owned(),
        })
    }

    fn text(&self) -> String {
        format!(
            "{HEAD}program={}\nkept={}\nconfigure={}\n",
            self.program.display(),
            self.kept.display(),
            self.configure
        )
    }

    /// Writes the file, whole or not at all, with modes with which it is believed.
    pub(super) fn write(&self) -> Result<(), Reason> {
        let folder = Path::new(FILE).parent().unwrap_or(Path::new("/"));
        let write = || {
            if !folder.exists() {
                fs::create_dir_all(folder)?;
                fs::set_permissions(folder, Permissions::from_mode(0o755))?;
            }
            fs::write(NEW, self.text())?;
            fs::set_permissions(NEW, Permissions::from_mode(0o644))?;
            fs::rename(NEW, FILE)
        };
        write().map_err(|error| Reason(format!("{FILE}: {error}")))?;
        match Self::read().as_ref() == Some(self) {
            true => Ok(()),
            false => Err(format!("{FILE}: others than root may write it, or its folder").into()),
        }
    }

    /// Removes the file, and its folder if nothing else is in it.
    pub(super) fn remove() -> Result<(), Reason> {
        let _ = fs::remove_file(NEW);
        match fs::remove_file(FILE) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(format!("{FILE}: {error}").into());
            }
            _ => {}
        }
        // A folder with other files stays.
        let _ = Path::new(FILE).parent().map(fs::remove_dir);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let record = Record {
            program: "/usr/sbin/nginx".into(),
            kept: "/usr/sbin/nginx.distrib".into(),
            configure: "--with-cc-opt='-g -O2' --prefix=/usr/share/nginx".to_owned(),
        };
        assert_eq!(Record::parse(&record.text()), Some(record));
        assert_eq!(Record::parse("program=/x\n"), None);
    }
}
