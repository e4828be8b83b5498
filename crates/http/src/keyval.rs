//! Key-value zones: pairs that are changed at run time and looked up by requests
//! (<https://nginx.org/en/docs/http/ngx_http_keyval_module.html>).
//!
//! All threads share a zone. A lookup holds its lock for reading, and a change for the time of one
//! insertion; files and the journal are written outside of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use weir_edge::zone::{self, Memory, Tally};
use weir_engine::error_log::{Level, process_log};
use weir_engine::journal::{self, Noted};
use weir_engine::os_error::Failed;
use weir_engine::temp_file;

mod shared;
pub(crate) mod state;
pub(crate) mod table;

use table::{Entry, Kind, Table};

/// The usage of zones, as `Zones` knows them.
pub(crate) const USAGE: &str = "keyval";

/// The settings of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ZoneConfig {
    pub(crate) name: String,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// How keys match.
    pub(crate) kind: Kind,
    /// The time until a pair expires, in milliseconds.
    pub(crate) timeout: Option<u64>,
    /// The file with the pairs.
    pub(crate) state: Option<PathBuf>,
}

/// A zone.
#[derive(Debug)]
pub(crate) struct Keyval {
    pub(crate) config: ZoneConfig,
    table: RwLock<Table>,
    /// Held by a change until it has been written.
    changing: Mutex<()>,
    /// The owner of its records in the journal.
    noted: Arc<Noted>,
}

/// The zones in use, by name.
static IN_USE: Mutex<BTreeMap<String, Vec<Weak<Keyval>>>> = Mutex::new(BTreeMap::new());

/// Why a change is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChangeError {
    /// There is such a key.
    Exists,
    /// There is no such key.
    NotFound,
    /// The key is no address or network, in a zone of those.
    BadKey,
    /// The zone has no memory for the pair.
    Full,
    /// Several pairs, and the zone is not empty.
    NotEmpty,
    /// The change is in force, but the file could not be written, for this reason.
    NotSaved(String),
}

/// A value to set, with its own time until it expires, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewValue {
    pub(crate) value: String,
    pub(crate) expire: Option<u64>,
}

/// The zones in use, by name.
pub(crate) fn in_use() -> Vec<(String, Arc<Keyval>)> {
    let zones = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    let newest = |same: &[Weak<Keyval>]| same.iter().rev().find_map(Weak::upgrade);
    zones.iter().filter_map(|(name, same)| Some((name.clone(), newest(same)?))).collect()
}

/// Restores what a killed predecessor has left in its journal, and begins to share pairs.
pub fn restore() {
    shared::begin();
    in_use().iter().for_each(|(_, zone)| zone.restore());
}

impl Keyval {
    /// The zone of a configuration: the one in use with these settings, else a new one with the
    /// pairs of its file. A zone with another size or timeout takes over the pairs that fit.
    pub(crate) fn of(config: &ZoneConfig, from_file: &[(String, Entry)], now: u64) -> Arc<Self> {
        let mut zones = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        let same = zones.entry(config.name.clone()).or_default();
        same.retain(|zone| zone.strong_count() > 0);
        let known = same.iter().rev().find_map(Weak::upgrade);
        if let Some(known) = known.as_ref().filter(|known| known.config == *config) {
            return Arc::clone(known);
        }
        let noted = known.as_ref().map(|known| Arc::clone(&known.noted));
        let noted = noted.unwrap_or_else(|| Noted::new(journal_name(&config.name)));
        let known = known.filter(|known| known.config.kind == config.kind);
        let mut table = Table::new(config.kind, config.size);
        let pairs = known.map_or_else(|| from_file.to_vec(), |known| known.pairs(now));
        for (key, entry) in pairs {
            // A zone that has become smaller keeps what fits.
            let _ = table.insert(&key, entry);
        }
        let config = config.clone();
        let (table, changing) = (RwLock::new(table), Mutex::default());
        let zone = Arc::new(Self { config, table, changing, noted });
        same.push(Arc::downgrade(&zone));
        let tally: Weak<Self> = Arc::downgrade(&zone);
        zone::enlist(USAGE, &zone.config.name, tally);
        zone.note_all();
        zone
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends the value of the record that matches a key. `false` if none does.
    pub(crate) fn find(&self, key: &[u8], out: &mut Vec<u8>) -> bool {
        let table = self.read();
        let found = table.find(key);
        if let Some(entry) = found {
            out.extend_from_slice(entry.value.as_bytes());
        }
        found.is_some()
    }

    /// All pairs that have not expired, by key.
    pub(crate) fn pairs(&self, now: u64) -> Vec<(String, Entry)> {
        let mut pairs = self.read().pairs(now);
        pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
        pairs
    }

    /// The value recorded under exactly this key.
    pub(crate) fn get(&self, key: &str, now: u64) -> Option<String> {
        let table = self.read();
        table.get(key).filter(|entry| entry.lives(now)).map(|entry| entry.value.clone())
    }

    fn entry(&self, new: NewValue, now: u64) -> Entry {
        let expire = new.expire.or(self.config.timeout);
        let until = expire.map_or(u64::MAX, |expire| now.saturating_add(expire));
        Entry { value: new.value, until }
    }

    /// Adds pairs: one, or several to an empty zone.
    ///
    /// # Errors
    /// A refusal; nothing has changed, except with [`ChangeError::NotSaved`].
    pub(crate) fn add(&self, pairs: Vec<(String, NewValue)>, now: u64) -> Result<(), ChangeError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.purge(now);
        if pairs.len() > 1 && !self.read().is_empty() {
            return Err(ChangeError::NotEmpty);
        }
        let mut fresh = Table::new(self.config.kind, self.config.size);
        let pairs: Vec<_> =
            pairs.into_iter().map(|(key, new)| (key, self.entry(new, now))).collect();
        if let [(key, entry)] = &pairs[..] {
            if self.read().get(key).is_some() {
                return Err(ChangeError::Exists);
            }
            self.write().insert(key, entry.clone())?;
        } else {
            for (key, entry) in &pairs {
                fresh.insert(key, entry.clone())?;
            }
            *self.write() = fresh;
        }
        pairs.iter().for_each(|(key, entry)| self.note(key, Some(entry)));
        self.save(now)
    }

    /// Changes the value of a key, or only its time until it expires.
    ///
    /// # Errors
    /// As [`Keyval::add`].
    pub(crate) fn change(
        &self,
        key: &str,
        value: Option<String>,
        expire: Option<u64>,
        now: u64,
    ) -> Result<(), ChangeError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.purge(now);
        let known = self.get(key, now).ok_or(ChangeError::NotFound)?;
        let entry = self.entry(NewValue { value: value.unwrap_or(known), expire }, now);
        self.write().insert(key, entry.clone())?;
        self.note(key, Some(&entry));
        self.save(now)
    }

    /// Removes a key.
    ///
    /// # Errors
    /// As [`Keyval::add`].
    pub(crate) fn remove(&self, key: &str, now: u64) -> Result<(), ChangeError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.purge(now);
        self.write().remove(key).ok_or(ChangeError::NotFound)?;
        self.note(key, None);
        self.save(now)
    }

    /// Removes all keys.
    ///
    /// # Errors
    /// As [`Keyval::add`].
    pub(crate) fn clear(&self, now: u64) -> Result<(), ChangeError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let empty = Table::new(self.config.kind, self.config.size);
        let old = std::mem::replace(&mut *self.write(), empty);
        old.pairs(0).iter().for_each(|(key, _)| self.note(key, None));
        self.save(now)
    }

    /// Removes expired pairs.
    fn purge(&self, now: u64) {
        let expired = self.read().expired(now);
        for key in expired {
            self.write().remove(&key);
            self.note(&key, None);
        }
    }

    /// Notes a pair in the journal, for the successor of a killed worker, and for other nodes.
    fn note(&self, key: &str, entry: Option<&Entry>) {
        self.note_here(key, entry);
        shared::note(&self.config.name, key, entry);
    }

    /// Notes a pair in the journal.
    fn note_here(&self, key: &str, entry: Option<&Entry>) {
        let key = journal_name(&self.config.name) + "\0" + key;
        let noted = match entry {
            Some(entry) => journal::put(&key, &entry.to_bytes()),
            None => journal::remove(&key),
        };
        if let Err(error) = noted {
            let what = format!("noting a pair of keyval zone \"{}\" failed", self.config.name);
            process_log().log(Level::Alert, 0, Failed(&what, &error));
        }
    }

    /// Writes the zone's file, if it has one.
    fn save(&self, now: u64) -> Result<(), ChangeError> {
        let Some(path) = &self.config.state else { return Ok(()) };
        let text = state::write(&self.pairs(now));
        temp_file::replace(path, text.as_bytes()).map_err(|error| {
            let (path, name) = (path.display(), &self.config.name);
            let what = format!("state file \"{path}\" of keyval zone \"{name}\" was not written");
            let message = Failed(&what, &error).to_string();
            process_log().log(Level::Alert, 0, &message);
            ChangeError::NotSaved(message)
        })
    }

    /// Takes the pairs of a killed worker, instead of those of the master's memory.
    fn restore(&self) {
        let name = journal_name(&self.config.name);
        let left = journal::take_below(&(name.clone() + "\0"));
        let had_worker = journal::take(&name).is_some();
        if had_worker {
            let mut table = Table::new(self.config.kind, self.config.size);
            for (key, bytes) in &left {
                if let Some(entry) = Entry::from_bytes(bytes) {
                    let _ = table.insert(key, entry);
                }
            }
            *self.write() = table;
        }
        self.note_all();
    }

    /// Notes that there is a zone, and all its pairs, in place of earlier ones.
    fn note_all(&self) {
        let zone = journal_name(&self.config.name);
        let noted = journal::clear(&zone).and_then(|()| journal::put(&zone, &[]));
        if let Err(error) = noted {
            process_log().log(Level::Alert, 0, Failed(&format!("noting {zone} failed"), &error));
        }
        self.read().pairs(0).iter().for_each(|(key, entry)| self.note(key, Some(entry)));
    }
}

/// The name of a zone's record in the journal. Those of its pairs follow after a NUL, which no name
/// of a zone contains.
fn journal_name(zone: &str) -> String {
    format!("keyval {zone}")
}

impl Tally for Keyval {
    fn counts(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    fn reset(&self) {}

    fn memory(&self) -> Memory {
        self.read().memory()
    }
}

#[cfg(test)]
mod tests;
