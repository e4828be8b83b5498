//! The outside world as the configuration sees it: in the master the real one, recorded; in the
//! worker the recording.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_conf::{Environment, LogFile};
use weir_ha::set::{FileSet, Place};
use weir_sys::{glob, user};

use crate::bundle::{Answers, Bundle, Refusal};

/// The real world of files, names and users. It records every answer for the bundle, and the files
/// and folders to be made once the configuration is valid.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    /// Files in place of those of the file system, with the prefix.
    set: Option<(FileSet, PathBuf)>,
    answers: RefCell<Answers>,
    wanted: RefCell<WantedFiles>,
}

/// The files and folders that the configuration needs. Like nginx, they are made after all is read.
#[derive(Debug, Clone, Default)]
pub(crate) struct WantedFiles {
    /// Log files in the order of their handles.
    pub(crate) logs: Vec<PathBuf>,
    /// Folders for temporary files and caches.
    pub(crate) folders: Vec<PathBuf>,
    /// The files of [`Environment::read_state`], which each node has for itself.
    pub(crate) states: BTreeSet<PathBuf>,
}

impl Recorder {
    /// The real world with the files of a set in it.
    pub(crate) fn of_set(set: FileSet, prefix: &Path) -> Self {
        Self { set: Some((set, prefix.to_owned())), ..Self::default() }
    }

    /// A file's bytes.
    fn file(&self, path: &Path) -> io::Result<Arc<[u8]>> {
        let in_set = self.set.as_ref().and_then(|(set, prefix)| {
            let place = Place::of(path, prefix)?;
            set.files.get(&place)
        });
        match in_set {
            Some(file) => Ok(Arc::clone(&file.bytes)),
            None => std::fs::read(path).map(Arc::from),
        }
    }

    /// The paths that match a pattern.
    fn matches(&self, pattern: &str) -> io::Result<Vec<PathBuf>> {
        let Some((set, prefix)) = &self.set else { return glob::glob(pattern) };
        let place = Place::of(Path::new(pattern), prefix);
        match place.and_then(|place| set.patterns.get(&place)) {
            Some(found) => Ok(found.iter().map(|place| place.path(prefix)).collect()),
            None => glob::glob(pattern),
        }
    }

    /// The recorded answers, and the files and folders to be made.
    pub(crate) fn finish(self) -> (Answers, WantedFiles) {
        (self.answers.into_inner(), self.wanted.into_inner())
    }
}

impl Environment for Recorder {
    fn read(&self, path: &Path) -> io::Result<Arc<[u8]>> {
        let files = &mut self.answers.borrow_mut().files;
        remember(files, path.to_owned(), || self.file(path))
    }

    fn read_state(&self, path: &Path) -> io::Result<Arc<[u8]>> {
        self.wanted.borrow_mut().states.insert(path.to_owned());
        let files = &mut self.answers.borrow_mut().files;
        remember(files, path.to_owned(), || std::fs::read(path).map(Arc::from))
    }

    fn glob(&self, pattern: &str) -> io::Result<Vec<PathBuf>> {
        let globs = &mut self.answers.borrow_mut().globs;
        remember(globs, pattern.to_owned(), || self.matches(pattern))
    }

    fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let lookups = &mut self.answers.borrow_mut().lookups;
        remember(lookups, host.to_owned(), || resolve(host))
    }

    fn open_log(&self, path: &Path) -> io::Result<LogFile> {
        let logs = &mut self.wanted.borrow_mut().logs;
        Ok(LogFile(handle_of(logs, path).unwrap_or_else(|| {
            logs.push(path.to_owned());
            last_handle(logs)
        })))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let folders = &mut self.wanted.borrow_mut().folders;
        if !folders.iter().any(|folder| folder == path) {
            folders.push(path.to_owned());
        }
        Ok(())
    }

    fn user(&self, name: &str) -> Option<(u32, u32)> {
        let users = &mut self.answers.borrow_mut().users;
        *users.entry(name.to_owned()).or_insert_with(|| user::user(name).ok().flatten())
    }

    fn group(&self, name: &str) -> Option<u32> {
        let groups = &mut self.answers.borrow_mut().groups;
        *groups.entry(name.to_owned()).or_insert_with(|| user::group(name).ok().flatten())
    }
}

/// The host's addresses from the system, IPv4 first, as in nginx.
fn resolve(host: &str) -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<_> = (host, 0).to_socket_addrs()?.map(|address| address.ip()).collect();
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses.dedup();
    Ok(addresses)
}

fn remember<K: Ord, V: Clone>(
    known: &mut BTreeMap<K, Result<V, Refusal>>,
    question: K,
    ask: impl FnOnce() -> io::Result<V>,
) -> io::Result<V> {
    let answer = known.entry(question).or_insert_with(|| ask().map_err(|e| Refusal::from(&e)));
    answer.clone().map_err(|refusal| io::Error::from(&refusal))
}

fn handle_of(logs: &[PathBuf], path: &Path) -> Option<u32> {
    logs.iter().position(|log| log == path).and_then(|at| u32::try_from(at).ok())
}

/// Handles fit 32 bits, because each log file has a directive of its own.
fn last_handle(logs: &[PathBuf]) -> u32 {
    u32::try_from(logs.len() - 1).unwrap_or(u32::MAX)
}

/// The world recorded in a bundle.
#[derive(Debug)]
pub(crate) struct Recorded<'a>(pub(crate) &'a Bundle);

/// The error for a question that the master did not record.
fn unasked() -> io::Error {
    io::Error::other("was not recorded when the configuration was read")
}

fn recall<V: Clone>(answer: Option<&Result<V, Refusal>>) -> io::Result<V> {
    answer.ok_or_else(unasked)?.clone().map_err(|refusal| io::Error::from(&refusal))
}

impl Environment for Recorded<'_> {
    fn read(&self, path: &Path) -> io::Result<Arc<[u8]>> {
        recall(self.0.answers.files.get(path))
    }

    fn glob(&self, pattern: &str) -> io::Result<Vec<PathBuf>> {
        recall(self.0.answers.globs.get(pattern))
    }

    fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        recall(self.0.answers.lookups.get(host))
    }

    fn open_log(&self, path: &Path) -> io::Result<LogFile> {
        handle_of(&self.0.logs, path).map(LogFile).ok_or_else(unasked)
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn user(&self, name: &str) -> Option<(u32, u32)> {
        self.0.answers.users.get(name).copied().flatten()
    }

    fn group(&self, name: &str) -> Option<u32> {
        self.0.answers.groups.get(name).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worker_gets_the_masters_answers() {
        let recorder = Recorder::default();
        let here = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        let text = recorder.read(here).unwrap();
        let refused = recorder.read(Path::new("/no/such")).unwrap_err();
        let log = recorder.open_log(Path::new("/x.log")).unwrap();
        assert_eq!(recorder.open_log(Path::new("/y.log")).unwrap(), LogFile(1));
        assert_eq!(recorder.open_log(Path::new("/x.log")).unwrap(), log);
        let root = recorder.user("root");

        let (answers, wanted) = recorder.finish();
        let bundle = Bundle { answers, logs: wanted.logs, ..Bundle::default() };
        let recorded = Recorded(&bundle);
        assert_eq!(recorded.read(here).unwrap(), text);
        let again = recorded.read(Path::new("/no/such")).unwrap_err();
        assert_eq!(again.raw_os_error(), refused.raw_os_error());
        assert_eq!(recorded.open_log(Path::new("/x.log")).unwrap(), log);
        assert_eq!(recorded.user("root"), root);
        assert!(recorded.read(Path::new("/unasked")).is_err());
    }

    #[test]
    fn ipv4_addresses_come_first() {
        let addresses = resolve("localhost").unwrap();
        assert!(addresses.is_sorted_by_key(IpAddr::is_ipv6));
    }
}
