//! The journal: what a worker has learnt at run time, for the successor of a killed one. It is
//! nginx's shared memory in this respect.
//!
//! Records are values by key, in a memory file that the master holds open and never reads. A worker
//! appends to its own journal, and begins with the records of its predecessor's. Its files have no
//! head before it has taken those over, so that a worker killed so early leaves nothing. A kill may
//! interrupt a write: a record counts only if its checksum is right, and a file only if its head
//! is, which is written last.
//!
//! ```text
//!  file:   epoch 8 │ checksum 4 │ record … record
//!  record: length 4 │ checksum 4 │ kind 1 │ key length 2 │ key │ value
//! ```
//!
//! The newer file of two counts. When most of it is outdated, the other one is written anew.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_sys::memory_file;

/// The limit of all current records of a journal, in bytes. It limits what a worker can make its
/// successor read.
pub const MAX_SIZE: u64 = 256 << 20;

/// The length of a file's head.
const HEAD: u64 = 12;

/// The length of a record's head.
const RECORD_HEAD: usize = 8;

/// The part of a file that may be outdated, besides as much as is current.
const SLACK: u64 = 1 << 20;

/// The kinds of records.
const PUT: u8 = 1;
const REMOVE: u8 = 2;

/// The files of a journal. They outlive the worker if another process holds them, too.
#[derive(Debug)]
pub struct Files([File; 2]);

/// The journal of this process; `None` in a process without a successor.
static OWN: Mutex<Option<Journal>> = Mutex::new(None);

/// The predecessor's records that nobody has taken.
static LEFT: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());

#[derive(Debug)]
struct Journal {
    files: Arc<Files>,
    /// The index of the newer file.
    newer: usize,
    epoch: u64,
    /// The length of the newer file.
    end: u64,
    current: BTreeMap<String, Arc<[u8]>>,
    /// The size of the current records.
    size: u64,
}

impl Files {
    /// Files of an empty journal.
    ///
    /// # Errors
    /// Those of memfd_create(2).
    pub fn new() -> io::Result<Self> {
        Ok(Self([memory_file::empty()?, memory_file::empty()?]))
    }

    /// Whether a worker has taken over its predecessor's records, so that these files have all.
    pub fn are_complete(&self) -> bool {
        self.0.iter().any(|file| epoch_of(file) > 0)
    }

    /// The current records.
    fn read(&self) -> BTreeMap<String, Vec<u8>> {
        let newer = self.0.iter().max_by_key(|file| epoch_of(file));
        newer.filter(|file| epoch_of(file) > 0).map(records).unwrap_or_default()
    }
}

/// The epoch in a file's head; 0 if it has no valid head.
fn epoch_of(file: &File) -> u64 {
    let mut head = [0; HEAD as usize];
    if file.read_exact_at(&mut head, 0).is_err() {
        return 0;
    }
    let (epoch, checksum) = head.split_at(8);
    match crc32fast::hash(epoch).to_le_bytes() == checksum {
        true => u64::from_le_bytes(epoch.try_into().unwrap_or_default()),
        false => 0,
    }
}

fn records(file: &File) -> BTreeMap<String, Vec<u8>> {
    let mut records = BTreeMap::new();
    let length = file.metadata().map_or(0, |found| found.len());
    // A file holds at most twice the current records, and the slack.
    let length = length.min(2 * MAX_SIZE + SLACK).saturating_sub(HEAD);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    if file.read_exact_at(&mut bytes, HEAD).is_err() {
        return records;
    }
    replay(&bytes, &mut records);
    records
}

/// Applies records up to the first incomplete one.
pub fn replay(mut bytes: &[u8], records: &mut BTreeMap<String, Vec<u8>>) {
    while let Some((kind, key, value, rest)) = next_record(bytes) {
        bytes = rest;
        match kind {
            PUT => records.insert(key, value.to_vec()),
            _ => records.remove(&key),
        };
    }
}

/// A record's kind, key and value, and what follows it.
type Record<'a> = (u8, String, &'a [u8], &'a [u8]);

fn next_record(bytes: &[u8]) -> Option<Record<'_>> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (checksum, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (record, rest) = rest.split_at_checked(length)?;
    if crc32fast::hash(record) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (&kind, record) = record.split_first()?;
    let (key_length, record) = record.split_first_chunk()?;
    let (key, value) = record.split_at_checked(u16::from_le_bytes(*key_length).into())?;
    Some((kind, String::from_utf8(key.to_vec()).ok()?, value, rest))
}

/// The bytes of a record.
fn record(kind: u8, key: &str, value: &[u8]) -> io::Result<Vec<u8>> {
    let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    let key_length = u16::try_from(key.len()).map_err(too_large)?;
    let length = u32::try_from(3 + key.len() + value.len()).map_err(too_large)?;
    let mut bytes = Vec::with_capacity(RECORD_HEAD + 3 + key.len() + value.len());
    bytes.extend(length.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.push(kind);
    bytes.extend(key_length.to_le_bytes());
    bytes.extend(key.as_bytes());
    bytes.extend(value);
    let checksum = crc32fast::hash(&bytes[RECORD_HEAD..]);
    bytes[4..RECORD_HEAD].copy_from_slice(&checksum.to_le_bytes());
    Ok(bytes)
}

fn size_of(key: &str, value: &[u8]) -> u64 {
    (RECORD_HEAD + 3 + key.len() + value.len()) as u64
}

impl Journal {
    fn new(files: Arc<Files>) -> Self {
        Self { files, newer: 0, epoch: 0, end: 0, current: BTreeMap::new(), size: 0 }
    }

    fn put(&mut self, key: &str, value: &[u8]) -> io::Result<()> {
        let before = self.current.get(key).map_or(0, |old| size_of(key, old));
        let size = self.size - before + size_of(key, value);
        if size > MAX_SIZE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.append(&record(PUT, key, value)?)?;
        self.current.insert(key.to_owned(), value.into());
        self.size = size;
        self.tidy_up()
    }

    fn remove(&mut self, key: &str) -> io::Result<()> {
        if !self.current.contains_key(key) {
            return Ok(());
        }
        self.append(&record(REMOVE, key, &[])?)?;
        if let Some(old) = self.current.remove(key) {
            self.size -= size_of(key, &old);
        }
        self.tidy_up()
    }

    /// Removes the record of a name, and those below it.
    fn clear(&mut self, name: &str) -> io::Result<()> {
        let below = format!("{name}\0");
        let keys = self.current.range(below.clone()..).map(|(key, _)| key);
        let keys: Vec<String> = keys.take_while(|key| key.starts_with(&below)).cloned().collect();
        keys.iter().try_for_each(|key| self.remove(key))?;
        self.remove(name)
    }

    fn append(&mut self, record: &[u8]) -> io::Result<()> {
        if self.epoch == 0 {
            return Ok(());
        }
        self.files.0[self.newer].write_all_at(record, self.end)?;
        self.end += record.len() as u64;
        Ok(())
    }

    fn tidy_up(&mut self) -> io::Result<()> {
        if self.epoch > 0 && self.end > 2 * self.size + SLACK { self.write_anew() } else { Ok(()) }
    }

    /// Writes the current records to the older file, which then is the newer one.
    fn write_anew(&mut self) -> io::Result<()> {
        let other = 1 - self.newer;
        let file = &self.files.0[other];
        file.set_len(0)?;
        let mut end = HEAD;
        for (key, value) in &self.current {
            let bytes = record(PUT, key, value)?;
            file.write_all_at(&bytes, end)?;
            end += bytes.len() as u64;
        }
        let epoch = (self.epoch + 1).to_le_bytes();
        let head = [&epoch[..], &crc32fast::hash(&epoch).to_le_bytes()].concat();
        file.write_all_at(&head, 0)?;
        (self.newer, self.epoch, self.end) = (other, self.epoch + 1, end);
        Ok(())
    }
}

fn own() -> MutexGuard<'static, Option<Journal>> {
    // A record is current only when it has been written, so poisoning is harmless.
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn left() -> MutexGuard<'static, BTreeMap<String, Vec<u8>>> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins the journal of this process, and reads its predecessor's.
pub fn begin(files: Arc<Files>, predecessor: Option<&Files>) {
    *left() = predecessor.map(Files::read).unwrap_or_default();
    *own() = Some(Journal::new(files));
}

/// Takes a record of the predecessor.
pub fn take(key: &str) -> Option<Vec<u8>> {
    left().remove(key)
}

/// Takes the records of the predecessor whose keys begin with `prefix`, by the rest of their keys.
pub fn take_below(prefix: &str) -> BTreeMap<String, Vec<u8>> {
    let mut left = left();
    let mut taken = left.split_off(prefix);
    let mut others = match taken.keys().find(|key| !key.starts_with(prefix)).cloned() {
        Some(first) => taken.split_off(&first),
        None => BTreeMap::new(),
    };
    left.append(&mut others);
    taken.into_iter().map(|(key, value)| (key[prefix.len()..].to_owned(), value)).collect()
}

/// Ends the takeover: drops the predecessor's records that nobody has taken, and writes those that
/// this process has put by now.
///
/// # Errors
/// Those of write(2).
pub fn complete() -> io::Result<()> {
    left().clear();
    own().as_mut().map_or(Ok(()), Journal::write_anew)
}

/// Sets a record, if this process has a journal.
///
/// # Errors
/// Those of write(2); `FileTooLarge` beyond [`MAX_SIZE`]. The earlier record remains.
pub fn put(key: &str, value: &[u8]) -> io::Result<()> {
    own().as_mut().map_or(Ok(()), |journal| journal.put(key, value))
}

/// Removes a record, if this process has a journal.
///
/// # Errors
/// Those of write(2).
pub fn remove(key: &str) -> io::Result<()> {
    own().as_mut().map_or(Ok(()), |journal| journal.remove(key))
}

/// Removes the record of a name and those whose keys are the name, a NUL and more, if this process
/// has a journal.
///
/// # Errors
/// Those of write(2).
pub fn clear(name: &str) -> io::Result<()> {
    own().as_mut().map_or(Ok(()), |journal| journal.clear(name))
}

/// The owner of the records of a name: they are removed with it, as [`clear`] does. A successor of
/// the same name shares it, so that its records stay.
#[derive(Debug)]
pub struct Noted(String);

impl Noted {
    /// The owner of the records of a name.
    pub fn new(name: String) -> Arc<Self> {
        Arc::new(Self(name))
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        // A record that stays brings back what a reload has dropped, but only after a kill.
        let _ = clear(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> Journal {
        let mut journal = Journal::new(Arc::new(Files::new().unwrap()));
        journal.write_anew().unwrap();
        journal
    }

    #[test]
    fn nothing_is_left_before_the_takeover_is_complete() {
        let mut journal = Journal::new(Arc::new(Files::new().unwrap()));
        journal.put("a", b"one").unwrap();
        assert!(!journal.files.are_complete() && journal.files.read().is_empty());
        journal.write_anew().unwrap();
        assert!(journal.files.are_complete());
        assert_eq!(journal.files.read()["a"], b"one");
    }

    #[test]
    fn the_last_value_of_a_key_is_left() {
        let mut journal = journal();
        assert!(journal.files.read().is_empty());
        for value in [&b"one"[..], b"two"] {
            journal.put("a", value).unwrap();
        }
        journal.put("b", b"").unwrap();
        journal.put("c", b"x").unwrap();
        journal.remove("c").unwrap();
        journal.remove("d").unwrap();
        let left = journal.files.read();
        assert_eq!(left, BTreeMap::from([("a".into(), b"two".to_vec()), ("b".into(), vec![])]));
    }

    #[test]
    fn records_are_taken_by_the_beginning_of_their_keys() {
        let value = |text: &str| text.as_bytes().to_vec();
        let all = ["test", "test a", "test b", "test c", "tesu"];
        left().extend(all.map(|key| (key.to_owned(), value(key))));
        let taken = take_below("test ");
        assert_eq!(taken.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(taken["b"], value("test b"));
        assert_eq!((take("test"), take("tesu")), (Some(value("test")), Some(value("tesu"))));
        assert!(take_below("test ").is_empty());
    }

    #[test]
    fn records_go_with_those_below_them() {
        let mut journal = journal();
        for key in ["a", "a\0", "a\0x", "a\0y", "a b", "ab", "a\u{1}"] {
            journal.put(key, b"").unwrap();
        }
        journal.clear("a").unwrap();
        journal.clear("c").unwrap();
        let left = journal.files.read();
        assert_eq!(left.into_keys().collect::<Vec<_>>(), ["a\u{1}", "a b", "ab"]);
    }

    /// Whatever byte a write is interrupted at, earlier records are left.
    #[test]
    fn an_interrupted_write_loses_only_itself() {
        let mut journal = journal();
        journal.put("a", b"one").unwrap();
        let before = journal.end;
        journal.put("a", b"two").unwrap();
        let file = &journal.files.0[journal.newer];
        for length in (before..journal.end).rev() {
            file.set_len(length).unwrap();
            assert_eq!(journal.files.read()["a"], b"one", "{length}");
        }
        let other = &journal.files.0[1 - journal.newer];
        other.write_all_at(b"half a file", 0).unwrap();
        assert_eq!(journal.files.read()["a"], b"one");
    }

    #[test]
    fn outdated_records_are_dropped() {
        let mut journal = journal();
        let large = vec![7; 100_000];
        journal.put("kept", b"value").unwrap();
        for _ in 0..100 {
            journal.put("a", &large).unwrap();
            assert!(journal.end < 3 * SLACK);
        }
        assert!(journal.epoch > 3);
        let left = journal.files.read();
        assert_eq!((left["kept"].as_slice(), &left["a"]), (&b"value"[..], &large));
    }
}
