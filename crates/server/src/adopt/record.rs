//! The record of an adoption, a file that Weir reads at each start under the replaced name.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Reason;
use super::nginx::Nginx;

/// The file of the record.
const FILE: &str = "/etc/weir/adopted";

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

    /// Writes the file.
    pub(super) fn write(&self) -> Result<(), Reason> {
        let path = Path::new(FILE);
        let folder = path.parent().unwrap_or(Path::new("/"));
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, self.text()));
        written.map_err(|error| format!("{FILE}: {error}").into())
    }

    /// Removes the file, and its folder if nothing else is in it.
    pub(super) fn remove() -> Result<(), Reason> {
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
