//! The responses that a thread remembers, up to a number, a size and a number of open files.
//!
//! They are in two generations: one that is used moves to the younger, and when that is full, the
//! elder is forgotten. Thus the ones used last stay, and none is searched for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use super::{Known, Opened, Stamp};
use crate::cache::key::Digest;
use crate::cache::volume::Volume;

/// The maximum number of responses that a thread remembers.
const MOST: usize = 1024;

/// The maximum length of all bodies that a thread remembers, in bytes.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// The maximum number of files of bodies in memory that a thread keeps open.
const MOST_OPEN: usize = 64;

/// The maximum number of other files that a thread keeps open. One that is deleted keeps its blocks
/// until it is closed: this many, of [`MOST_SENT_OPEN`] bytes, at worst.
const MOST_SENDERS: usize = 16;

/// The maximum length of a body that is sent from a file that stays open, in bytes.
const MOST_SENT_OPEN: u64 = 2 * 1024 * 1024;

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

/// The number of a volume, and the digest of a response.
type Key = (u64, Digest);

type Places = HashMap<Key, Place, BuildHasherDefault<Mixed>>;

#[derive(Default)]
struct Memory {
    young: Places,
    old: Places,
    /// The length of the bodies in the younger generation.
    bytes: usize,
    /// The number of open files of bodies in memory.
    open: usize,
    /// The number of other open files.
    senders: usize,
}

struct Place {
    version: u64,
    known: Rc<Known>,
    /// The response if its body is in memory, when its file may be closed, or if its file is open.
    opened: Option<Rc<Opened>>,
}

impl Place {
    fn bytes(&self) -> usize {
        self.known.memory.as_ref().map_or(0, |body| body.len())
    }

    fn is_small(&self) -> bool {
        self.known.memory.is_some()
    }

    fn is_open(&self) -> bool {
        self.opened.as_ref().is_some_and(|opened| opened.file.borrow().is_some())
    }
}

impl Memory {
    /// A place, which counts as used.
    fn find(&mut self, key: &Key) -> Option<&Place> {
        if !self.young.contains_key(key) {
            let place = self.old.remove(key)?;
            self.add(*key, place);
        }
        self.young.get(key)
    }

    /// Adds a place that is in no generation.
    fn add(&mut self, key: Key, place: Place) {
        let bytes = place.bytes();
        if self.young.len() >= MOST / 2 || self.bytes + bytes > MOST_BYTES / 2 {
            let forgotten = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            forgotten.values().for_each(|place| self.count_out(place));
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.young.insert(key, place);
    }

    fn remove(&mut self, key: &Key) {
        let young = self.young.remove(key);
        self.bytes -= young.as_ref().map_or(0, Place::bytes);
        if let Some(place) = young.or_else(|| self.old.remove(key)) {
            self.count_out(&place);
        }
    }

    /// The number of open files like that of this place.
    fn count(&mut self, place: &Place) -> &mut usize {
        if place.is_small() { &mut self.open } else { &mut self.senders }
    }

    /// Takes a forgotten place out of the numbers.
    fn count_out(&mut self, place: &Place) {
        *self.count(place) -= usize::from(place.is_open());
    }

    fn keep(&mut self, key: Key, version: u64, opened: &Rc<Opened>) {
        self.remove(&key);
        let known = Rc::clone(&opened.known);
        let is_small = known.memory.is_some();
        let stays_open = is_small && self.open < MOST_OPEN;
        // By its path, a file that changes now would look the same, and so would an open one whose
        // body is sent from it.
        if !stays_open && !known.is_settled {
            return;
        }
        let is_sent_open = !is_small && known.head.body <= MOST_SENT_OPEN;
        if is_sent_open && self.senders >= MOST_SENDERS {
            self.close_senders();
        }
        let opened = (is_small || is_sent_open).then(|| Rc::clone(opened));
        let place = Place { version, known, opened };
        if let (Some(opened), false) = (&place.opened, stays_open || is_sent_open) {
            *opened.file.borrow_mut() = None;
        }
        *self.count(&place) += usize::from(place.is_open());
        self.add(key, place);
    }

    /// Closes the files of bodies that are not in memory, once no request sends them. Those used
    /// again are opened again, and what was deleted meanwhile frees its blocks.
    fn close_senders(&mut self) {
        for place in self.young.values_mut().chain(self.old.values_mut()) {
            place.opened.take_if(|_| place.known.memory.is_none());
        }
        self.senders = 0;
    }

    fn reuse(&mut self, key: &Key, version: u64, asks: Asks) -> Option<Rc<Opened>> {
        let place = self.find(key)?;
        if asks.whole && !place.is_small() {
            return None;
        }
        let opened = place.opened.as_ref()?;
        if place.version == version {
            if !asks.paths && !place.is_open() {
                return None;
            }
            if opened.is_unchanged() {
                return Some(Rc::clone(opened));
            }
        }
        self.remove(key);
        None
    }
}

/// What may be done to find a response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asks {
    /// A closed file may be asked for by its path, which may wait for the disk.
    pub(crate) paths: bool,
    /// Only a response whose body is in memory is of use.
    pub(crate) whole: bool,
}

/// A response whose body is in memory or whose file is open, if the thread has that version and its
/// file is unchanged.
pub(crate) fn reuse(
    volume: &Volume,
    digest: &Digest,
    version: u64,
    asks: Asks,
) -> Option<Rc<Opened>> {
    MEMORY.with_borrow_mut(|memory| memory.reuse(&(volume.number, *digest), version, asks))
}

/// What the thread knows of a file with this stamp.
pub(super) fn remembered(volume: &Volume, digest: &Digest, stamp: Stamp) -> Option<Rc<Known>> {
    MEMORY.with_borrow_mut(|memory| {
        let place = memory.find(&(volume.number, *digest))?;
        (place.known.stamp == stamp).then(|| Rc::clone(&place.known))
    })
}

/// Remembers a response for further hits.
pub(crate) fn keep(volume: &Volume, digest: &Digest, version: u64, opened: &Rc<Opened>) {
    MEMORY.with_borrow_mut(|memory| memory.keep((volume.number, *digest), version, opened));
}

/// Forgets a response.
pub(crate) fn forget(volume: &Volume, digest: &Digest) {
    MEMORY.with_borrow_mut(|memory| memory.remove(&(volume.number, *digest)));
}

/// A hash of digests, which are hashes (MD5) already, without a secret. Whoever tries keys until
/// their digests collide slows down the search, which is among [`MOST`] at worst.
#[derive(Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        /// The golden ratio, as an odd number.
        const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(MIX);
    }

    fn write_usize(&mut self, _: usize) {
        // All digests have one length.
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
