//! What is known of the keys below a prefix: a list, and the changes since.
//!
//! A watch that stays silent may have nothing to tell, or be dead. So etcd is asked at intervals
//! for the number of keys and the last change, which tells whether anything was missed.

use std::collections::BTreeMap;

use super::answer::{Event, Header, Pair, Range, Watched};
use crate::discovery::SourceError;
use crate::discovery::{
    Listing, MAX_LISTED,
    entry::{Entry, Reader},
    list::Collector,
};

/// The limit of a value in bytes.
const MAX_VALUE: usize = 4096;

/// The keys below a prefix.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    prefix: Vec<u8>,
    cluster: u64,
    revision: i64,
    keys: BTreeMap<Vec<u8>, Kept>,
    /// The revision at which something was there that the watch has not told yet.
    doubt: Option<i64>,
}

#[derive(Debug)]
struct Kept {
    entry: Result<Entry, SourceError>,
    modified: i64,
}

/// What follows from a message of a watch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Nothing,
    Changed,
    /// The list has to be asked for again, for this reason.
    Lost(SourceError),
}

impl Mirror {
    pub(super) fn new(prefix: Vec<u8>) -> Self {
        Self { prefix, ..Self::default() }
    }

    /// The keys: the first, and the one after the last.
    pub(super) fn range(&self) -> (&[u8], Vec<u8>) {
        let mut end = self.prefix.clone();
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                break;
            }
        }
        if end.is_empty() {
            // All keys from the first one on.
            end.push(0);
        }
        (&self.prefix, end)
    }

    /// The revision from which on changes are unknown.
    pub(super) fn next_revision(&self) -> i64 {
        self.revision.saturating_add(1)
    }

    /// Begins with a list. Returns whether etcd has lost its memory since the last one.
    ///
    /// # Errors
    /// There are too many keys.
    pub(super) fn load(&mut self, range: Range, reader: Reader) -> Result<bool, SourceError> {
        if range.count > MAX_LISTED as u64 || range.pairs.len() > MAX_LISTED {
            return Err(format!("has more than {MAX_LISTED} keys below the prefix").into());
        }
        let Header { cluster, revision } = range.header;
        let is_new = self.cluster != 0 && (cluster != self.cluster || revision < self.revision);
        (self.cluster, self.revision, self.doubt) = (cluster, revision, None);
        self.keys.clear();
        range.pairs.into_iter().for_each(|pair| self.put(pair, reader));
        Ok(is_new)
    }

    fn put(&mut self, pair: Pair, reader: Reader) {
        let Pair { key, value, modified } = pair;
        let entry = match value.len() > MAX_VALUE {
            true => Err(format!("the value is longer than {MAX_VALUE} bytes").into()),
            false => reader.text(&value),
        };
        self.keys.insert(key, Kept { entry, modified });
    }

    /// Takes a message of the watch.
    pub(super) fn take(&mut self, message: Watched, reader: Reader) -> Taken {
        let (header, events) = match message {
            Watched::Events(header, events) => (header, events),
            Watched::Ended(reason) => return Taken::Lost(reason.into()),
        };
        if header.cluster != self.cluster {
            return Taken::Lost("is another cluster now".into());
        }
        self.revision = self.revision.max(header.revision);
        if events.is_empty() {
            return Taken::Nothing;
        }
        for event in events {
            match event {
                Event::Put(pair) => self.put(pair, reader),
                Event::Deleted(key) => {
                    self.keys.remove(&key);
                }
            }
        }
        if self.keys.len() > MAX_LISTED {
            return Taken::Lost(format!("has more than {MAX_LISTED} keys below the prefix").into());
        }
        Taken::Changed
    }

    /// Compares with the newest change and the number of keys, as etcd has them.
    ///
    /// # Errors
    /// The list has to be asked for again, for this reason.
    pub(super) fn compare(&mut self, newest: &Range) -> Result<(), SourceError> {
        let Header { cluster, revision } = newest.header;
        if cluster != self.cluster || revision < self.revision {
            return Err("has lost its memory".into());
        }
        let known = (self.keys.len() as u64, self.keys.values().map(|kept| kept.modified).max());
        if known == (newest.count, newest.pairs.first().map(|pair| pair.modified)) {
            self.doubt = None;
            return Ok(());
        }
        // The watch may be a moment behind, but not until the next comparison.
        if self.doubt.is_some_and(|at| self.revision < at) {
            return Err("the watch has missed changes".into());
        }
        self.doubt = Some(revision);
        Ok(())
    }

    /// The servers. `is_new`: as [`Self::load`] has said, or `false` for later changes.
    ///
    /// # Errors
    /// There are too many.
    pub(super) fn listing(&self, is_new: bool) -> Result<Listing, SourceError> {
        let mut collector = Collector::default();
        for (key, Kept { entry, .. }) in &self.keys {
            let at = format!("key \"{}\"", weir_wire::shown(key));
            collector.add(&at, entry.clone());
        }
        let listing = collector.finish()?;
        Ok(Listing { is_new: Some(is_new), ..listing })
    }
}

#[cfg(test)]
mod tests;
