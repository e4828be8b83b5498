//! `open_file_cache`: open files and metadata, by path.
//!
//! Each thread has a cache for each configuration: a reload starts with empty ones.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::time::Duration;

use weir_engine::clock;
use weir_engine::file_io::File;

use super::{FoundFile, Links, OpenFault, Want};
use crate::snapshot::Snapshot;

/// The settings of a cache.
pub(super) struct Rules {
    /// The maximum number of paths.
    pub(super) max: u64,
    /// The time without use after which a path is removed.
    pub(super) inactive: Duration,
    /// The time after which a path is checked again.
    pub(super) valid: Duration,
    /// The minimum number of uses for a file to stay open.
    pub(super) min_uses: u64,
    /// Whether errors are cached.
    pub(super) errors: bool,
}

thread_local! {
    static CACHES: RefCell<Vec<(Weak<Snapshot>, Cache)>> = const { RefCell::new(Vec::new()) };
}

/// Opens a file, or takes it from the cache (ngx_open_cached_file).
pub(super) fn open(
    snapshot: &Rc<Snapshot>,
    path: &Path,
    want: Want,
    links: Links,
    rules: &Rules,
) -> Result<FoundFile, OpenFault> {
    CACHES.with_borrow_mut(|caches| {
        let mine = |(of, cache): &(Weak<Snapshot>, Cache)| {
            std::ptr::eq(of.as_ptr(), Rc::as_ptr(snapshot))
                && (cache.max, cache.inactive) == (rules.max, rules.inactive)
        };
        let at = caches.iter().position(mine).unwrap_or_else(|| {
            caches.retain(|(of, _)| of.strong_count() > 0);
            caches.push((Rc::downgrade(snapshot), Cache::new(rules)));
            caches.len() - 1
        });
        caches[at].1.open(path, want, links, rules, clock::now().secs().cast_signed())
    })
}

/// The cache for one `open_file_cache` in one configuration.
struct Cache {
    max: u64,
    inactive: Duration,
    entries: HashMap<PathBuf, Entry>,
    /// The keys of `entries` by their last use, oldest first.
    order: BTreeMap<u64, PathBuf>,
    /// The number of uses of all paths.
    uses: u64,
}

/// A cached path.
struct Entry {
    links: Links,
    /// The result without the file, which is in `held`.
    result: Result<FoundFile, OpenFault>,
    held: Held,
    /// The time of the last check, in seconds.
    checked: i64,
    /// The time of the last use, in seconds.
    accessed: i64,
    /// The entry's key in [`Cache::order`].
    order: u64,
    uses: u64,
}

/// The open file of a path.
enum Held {
    /// The file stays open.
    Open(Rc<File>),
    /// The file has too few uses: it is open only while a request holds it.
    Lent(Weak<File>),
    /// There is no file, but a folder or an error.
    Nothing,
}

impl Cache {
    fn new(rules: &Rules) -> Self {
        Self {
            max: rules.max,
            inactive: rules.inactive,
            entries: HashMap::new(),
            order: BTreeMap::new(),
            uses: 0,
        }
    }

    fn open(
        &mut self,
        path: &Path,
        want: Want,
        links: Links,
        rules: &Rules,
        now: i64,
    ) -> Result<FoundFile, OpenFault> {
        let known = self.entries.get_mut(path);
        let fresh = match known {
            Some(entry) => match entry.answer(links, rules, now) {
                Answer::Known(result) => {
                    self.touch(path, rules, now);
                    self.expire(now);
                    return result;
                }
                Answer::Stale(file) => retest(path, want, links, file, &entry.result),
                Answer::Unknown => look_and_open(path, want, links),
            },
            None => look_and_open(path, want, links),
        };
        self.remember(path, links, fresh, rules, now)
    }

    /// Stores the result for a path.
    fn remember(
        &mut self,
        path: &Path,
        links: Links,
        fresh: Result<FoundFile, OpenFault>,
        rules: &Rules,
        now: i64,
    ) -> Result<FoundFile, OpenFault> {
        if fresh.is_err() && !rules.errors {
            self.forget(path);
            return fresh;
        }
        if !self.entries.contains_key(path) {
            if self.entries.len() as u64 >= self.max {
                self.forget_oldest();
            }
            self.entries.insert(path.to_owned(), Entry::new(links));
            self.uses += 1;
            self.order.insert(self.uses, path.to_owned());
            if let Some(entry) = self.entries.get_mut(path) {
                entry.order = self.uses;
            }
        }
        if let Some(entry) = self.entries.get_mut(path) {
            entry.links = links;
            entry.checked = now;
            let file = fresh.as_ref().ok().and_then(|found| found.file.clone());
            entry.held = file.map_or(Held::Nothing, Held::Open);
            entry.result = fresh.clone().map(|found| FoundFile { file: None, ..found });
        }
        self.touch(path, rules, now);
        self.expire(now);
        fresh
    }

    /// Counts a use.
    fn touch(&mut self, path: &Path, rules: &Rules, now: i64) {
        let Some(entry) = self.entries.get_mut(path) else { return };
        entry.uses += 1;
        entry.accessed = now;
        entry.settle(rules.min_uses);
        self.uses += 1;
        let before = std::mem::replace(&mut entry.order, self.uses);
        if let Some(key) = self.order.remove(&before) {
            self.order.insert(self.uses, key);
        }
    }

    fn forget(&mut self, path: &Path) {
        if let Some(entry) = self.entries.remove(path) {
            self.order.remove(&entry.order);
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, path)) = self.order.pop_first() {
            self.entries.remove(&path);
        }
    }

    /// Removes a few unused paths.
    fn expire(&mut self, now: i64) {
        /// One more than can be added at a time, so that unused paths become fewer.
        const AT_ONCE: usize = 2;
        let inactive = i64::try_from(self.inactive.as_secs()).unwrap_or(i64::MAX);
        for _ in 0..AT_ONCE {
            let Some((_, path)) = self.order.first_key_value() else { return };
            if self.entries.get(path).is_some_and(|entry| now - entry.accessed <= inactive) {
                return;
            }
            self.forget_oldest();
        }
    }
}

/// The answer of an entry.
enum Answer {
    /// The result, without asking the system.
    Known(Result<FoundFile, OpenFault>),
    /// The result may be outdated; this file is open.
    Stale(Option<Rc<File>>),
    /// The file is no longer open.
    Unknown,
}

impl Entry {
    fn new(links: Links) -> Self {
        Self {
            links,
            result: Err(OpenFault { errno: rustix::io::Errno::NOENT, call: "open()" }),
            held: Held::Nothing,
            checked: 0,
            accessed: 0,
            order: 0,
            uses: 0,
        }
    }

    fn file(&self) -> Option<Rc<File>> {
        match &self.held {
            Held::Open(file) => Some(Rc::clone(file)),
            Held::Lent(file) => file.upgrade(),
            Held::Nothing => None,
        }
    }

    fn answer(&self, links: Links, rules: &Rules, now: i64) -> Answer {
        let file = self.file();
        if file.is_none() && matches!(&self.result, Ok(found) if !found.is_dir) {
            return Answer::Unknown;
        }
        let valid = i64::try_from(rules.valid.as_secs()).unwrap_or(i64::MAX);
        if now - self.checked < valid && self.links == links {
            return Answer::Known(self.result.clone().map(|found| FoundFile { file, ..found }));
        }
        Answer::Stale(file)
    }

    /// Keeps the file open if it has enough uses.
    fn settle(&mut self, min_uses: u64) {
        if let Some(file) = self.file() {
            self.held = match self.uses >= min_uses {
                true => Held::Open(file),
                false => Held::Lent(Rc::downgrade(&file)),
            };
        }
    }
}

/// Checks a path again. The open file is reused if the path still leads to it.
fn retest(
    path: &Path,
    want: Want,
    links: Links,
    file: Option<Rc<File>>,
    before: &Result<FoundFile, OpenFault>,
) -> Result<FoundFile, OpenFault> {
    let Ok(before) = before else { return look_and_open(path, want, links) };
    let found = super::look(path, links)?;
    if found.is_dir || file.is_some() && found.inode == before.inode {
        return Ok(FoundFile { file: file.filter(|_| !found.is_dir), ..found });
    }
    look_and_open(path, want, links)
}

/// Opens a file even if only metadata is wanted, because the next request will read it.
fn look_and_open(path: &Path, want: Want, links: Links) -> Result<FoundFile, OpenFault> {
    let want = if want == Want::Folder { want } else { Want::File };
    super::open(path, want, links)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A temporary folder, removed when dropped.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("weir-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            // Replaces the file, as deployments do.
            let (new, path) = (self.0.join("new"), self.0.join(name));
            std::fs::write(&new, text).unwrap();
            std::fs::rename(&new, &path).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn rules(max: u64, min_uses: u64, errors: bool) -> Rules {
        let (inactive, valid) = (Duration::from_secs(60), Duration::from_secs(30));
        Rules { max, inactive, valid, min_uses, errors }
    }

    const LINKS: Links = Links { check: crate::core::files::SymlinkCheck::Off, from: 0 };

    #[test]
    fn a_file_is_checked_again_after_valid() {
        let folder = Folder::new("valid");
        let path = folder.write("a", "one");
        let rules = rules(10, 1, false);
        let mut cache = Cache::new(&rules);
        let mut size =
            |now| cache.open(&path, Want::File, LINKS, &rules, now).map(|found| found.size);
        assert_eq!(size(0), Ok(3));
        folder.write("a", "three");
        assert_eq!(size(29), Ok(3));
        assert_eq!(size(30), Ok(5));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(size(59), Ok(5));
        assert!(size(60).is_err());
    }

    #[test]
    fn a_rarely_used_file_does_not_stay_open() {
        let folder = Folder::new("uses");
        let path = folder.write("a", "one");
        let rules = rules(10, 2, false);
        let mut cache = Cache::new(&rules);
        let mut size =
            |now| cache.open(&path, Want::File, LINKS, &rules, now).map(|found| found.size);
        assert_eq!(size(0), Ok(3));
        folder.write("a", "three");
        assert_eq!(size(0), Ok(5));
        folder.write("a", "fourteen");
        assert_eq!(size(0), Ok(5));
    }

    #[test]
    fn missing_files_are_cached_if_enabled() {
        let folder = Folder::new("errors");
        let path = folder.0.join("a");
        for errors in [true, false] {
            let rules = rules(10, 1, errors);
            let mut cache = Cache::new(&rules);
            assert!(cache.open(&path, Want::Look, LINKS, &rules, 0).is_err());
            folder.write("a", "one");
            assert_eq!(cache.open(&path, Want::Look, LINKS, &rules, 1).is_err(), errors);
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn entries_are_limited_and_expire() {
        let folder = Folder::new("max");
        let rules = rules(2, 1, false);
        let mut cache = Cache::new(&rules);
        for (now, name) in ["a", "b", "c"].into_iter().enumerate() {
            let path = folder.write(name, name);
            cache.open(&path, Want::File, LINKS, &rules, now as i64).unwrap();
        }
        assert_eq!((cache.entries.len(), cache.order.len()), (2, 2));
        assert!(!cache.entries.contains_key(&folder.0.join("a")));
        cache.open(&folder.0.join("c"), Want::File, LINKS, &rules, 100).unwrap();
        assert_eq!((cache.entries.len(), cache.order.len()), (1, 1));
    }
}
