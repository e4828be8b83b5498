//! `open_file_cache`: files that stay open between requests, and what is known about paths.
//!
//! Each thread has its own, and so has each configuration: after a reload files are opened anew.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::time::Duration;

use weir_engine::clock;
use weir_engine::file_io::File;

use super::{Found, Links, OpenFault, Want};
use crate::snapshot::Snapshot;

/// What the directives say.
pub(super) struct Rules {
    /// The most paths that are known.
    pub(super) max: u64,
    /// How long a path is known without use.
    pub(super) inactive: Duration,
    /// After how long it is looked at again.
    pub(super) valid: Duration,
    /// How often a file must be used to stay open.
    pub(super) min_uses: u64,
    /// Whether it is remembered that a file is not there.
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
) -> Result<Found, OpenFault> {
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

/// The paths known under one `open_file_cache` of one configuration.
struct Cache {
    max: u64,
    inactive: Duration,
    entries: HashMap<PathBuf, Entry>,
    /// The keys of `entries` by their last use, the one longest ago first.
    order: BTreeMap<u64, PathBuf>,
    /// How many uses there have been of all paths.
    uses: u64,
}

/// What is known of a path.
struct Entry {
    links: Links,
    /// Without the file, which is beside it.
    result: Result<Found, OpenFault>,
    held: Held,
    /// When it was looked at, in seconds.
    checked: i64,
    /// When it was used last, in seconds.
    accessed: i64,
    /// Its place in the order of all uses.
    order: u64,
    uses: u64,
}

/// The open file of a path.
enum Held {
    /// It stays open.
    Open(Rc<File>),
    /// It was not used often enough: it is open only while a request has it.
    Lent(Weak<File>),
    /// There is none: a folder, or nothing.
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
    ) -> Result<Found, OpenFault> {
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

    /// Notes what a path turned out to be.
    fn remember(
        &mut self,
        path: &Path,
        links: Links,
        fresh: Result<Found, OpenFault>,
        rules: &Rules,
        now: i64,
    ) -> Result<Found, OpenFault> {
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
            entry.result = fresh.clone().map(|found| Found { file: None, ..found });
        }
        self.touch(path, rules, now);
        self.expire(now);
        fresh
    }

    /// Notes a use.
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

    /// Forgets a few paths that nobody asks for any more.
    fn expire(&mut self, now: i64) {
        /// As many as come at most, and one more, so that the old ones get fewer.
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

/// What an entry says about its path.
enum Answer {
    /// This, without asking the system.
    Known(Result<Found, OpenFault>),
    /// It may have changed; this file is open.
    Stale(Option<Rc<File>>),
    /// The file is not open any more.
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
            return Answer::Known(self.result.clone().map(|found| Found { file, ..found }));
        }
        Answer::Stale(file)
    }

    /// Keeps the file open if it has been used often enough.
    fn settle(&mut self, min_uses: u64) {
        if let Some(file) = self.file() {
            self.held = match self.uses >= min_uses {
                true => Held::Open(file),
                false => Held::Lent(Rc::downgrade(&file)),
            };
        }
    }
}

/// Looks at a path again: the open file is used on if the path still means it.
fn retest(
    path: &Path,
    want: Want,
    links: Links,
    file: Option<Rc<File>>,
    before: &Result<Found, OpenFault>,
) -> Result<Found, OpenFault> {
    let Ok(before) = before else { return look_and_open(path, want, links) };
    let found = super::look(path, links)?;
    if found.is_dir || file.is_some() && found.inode == before.inode {
        return Ok(Found { file: file.filter(|_| !found.is_dir), ..found });
    }
    look_and_open(path, want, links)
}

/// Opens a file even when only a look is wanted, as the next request will want it.
fn look_and_open(path: &Path, want: Want, links: Links) -> Result<Found, OpenFault> {
    let want = if want == Want::Folder { want } else { Want::File };
    super::open(path, want, links)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own, removed in the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("weir-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            // A new file each time, as deployments make it.
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
    fn a_file_is_looked_at_again_when_its_time_has_come() {
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
    fn a_file_that_is_used_too_rarely_does_not_stay_open() {
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
    fn what_is_missing_is_remembered_on_demand() {
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
    fn no_more_than_the_limit_and_none_for_ever() {
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
