//! State that nodes have in common, record by record: the seam between its owners, which change it,
//! and the mirror, which carries changes between nodes. Neither knows the other.
//!
//! An owner notes each change and waits for nothing. What the mirror brings goes to the owner by
//! [`Owner::apply`], and is not noted. Without a mirror, nothing is kept.

use std::collections::HashMap;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::shared_news;

/// Changes that wait for the mirror. With more of them, it asks owners for everything.
pub const MOST_CHANGES: usize = 16_384;

/// The bytes of keys and values that wait.
pub const MOST_BYTES: usize = 16 << 20;

/// The kinds of shared records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Theme {
    /// Pairs of keyval zones. The key is the zone, a NUL and the key.
    Keyval,
    /// The servers of groups as edited at run time. The key is the group, what its configuration
    /// says as a hash, and the place of the server, with a NUL between them.
    Servers,
    /// Learned sessions. The key is the group, a NUL and the session.
    Sticky,
    /// What a node has found out about the servers of a group. The key is the group; in
    /// [`Owner::apply`], the node that has found it out and a NUL come first.
    Health,
    /// Certificates that are ordered by ACME, with their keys, accounts, orders and answers to
    /// authorities. The key is the kind, a NUL and a name.
    Acme,
}

impl Theme {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Keyval, Self::Servers, Self::Sticky, Self::Health, Self::Acme];
}

/// The part of the program that has the records of a theme.
pub trait Owner: Sync {
    /// All records, without those of other nodes.
    fn all(&self) -> Vec<(Vec<u8>, Vec<u8>)>;

    /// Whether a record of this key would be kept here.
    fn keeps(&self, key: &[u8]) -> bool;

    /// Takes over a record of another node; `None` if it was removed. A change here that
    /// [`is_noted`] is later: an owner that has changes all the time asks under the lock under
    /// which it notes them.
    fn apply(&self, key: &[u8], value: Option<&[u8]>);

    /// A node is away: what it alone writes may be old by the time it is read.
    fn leave(&self, _node: &str) {}
}

/// Changes of records.
#[derive(Debug, Default)]
pub struct Changes {
    /// The values by record; `None` if it was removed.
    pub by_key: HashMap<(Theme, Vec<u8>), Option<Vec<u8>>>,
    bytes: usize,
    /// Whether some changes were not kept, so that owners have to be asked.
    pub is_cut: bool,
}

/// `None` while there is no mirror.
static CHANGES: Mutex<Option<Changes>> = Mutex::new(None);

/// The number of this node, and of all nodes in the upper half. The nodes agree about them.
static NODE: AtomicU32 = AtomicU32::new(1 << 16);

/// Whether there is a mirror: what costs those who have none.
static HAS_MIRROR: AtomicBool = AtomicBool::new(false);

/// The owners by theme.
static OWNERS: Mutex<[Option<&'static dyn Owner>; Theme::ALL.len()]> =
    Mutex::new([None; Theme::ALL.len()]);

fn changes() -> MutexGuard<'static, Option<Changes>> {
    CHANGES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Names the owner of a theme.
pub fn set_owner(theme: Theme, owner: &'static dyn Owner) {
    OWNERS.lock().unwrap_or_else(PoisonError::into_inner)[theme as usize] = Some(owner);
}

/// The owner of a theme.
pub fn owner(theme: Theme) -> Option<&'static dyn Owner> {
    OWNERS.lock().unwrap_or_else(PoisonError::into_inner)[theme as usize]
}

/// The number of this node, below the second: that of all nodes, at least 1.
pub fn node() -> (u32, u32) {
    let packed = NODE.load(Relaxed);
    (packed & 0xffff, packed >> 16)
}

/// Sets the number of this node among all.
pub fn set_node(number: u16, nodes: u16) {
    let nodes = nodes.max(1);
    NODE.store(u32::from(nodes) << 16 | u32::from(number % nodes), Relaxed);
}

/// Changes are kept while this lives, or until another mirror begins.
#[derive(Debug)]
#[must_use]
pub struct Noting(u64);

/// The number of the mirror that began last.
static LATEST: AtomicU64 = AtomicU64::new(0);

/// Begins to keep changes, for a mirror that takes them; [`shared_news::news`] says when there are
/// any. The first ones are everything.
pub fn begin() -> Noting {
    let mut changes = changes();
    *changes = Some(Changes { is_cut: true, ..Changes::default() });
    HAS_MIRROR.store(true, Relaxed);
    Noting(LATEST.fetch_add(1, Relaxed) + 1)
}

impl Drop for Noting {
    fn drop(&mut self) {
        let mut changes = changes();
        if LATEST.load(Relaxed) == self.0 {
            HAS_MIRROR.store(false, Relaxed);
            set_node(0, 1);
            *changes = None;
        }
    }
}

/// Lets the mirror ask owners for everything.
pub fn recheck() {
    if let Some(changes) = changes().as_mut() {
        // What is noted stays: it may be a removal that no owner knows of any more.
        changes.is_cut = true;
        shared_news::tell();
    }
}

/// Whether changes are kept. One that is made while this turns is among the first ones, which are
/// everything.
pub fn has_mirror() -> bool {
    HAS_MIRROR.load(Relaxed)
}

/// Whether a change of a record here waits for the mirror, so that it is later than any that the
/// mirror has.
pub fn is_noted(theme: Theme, key: &[u8]) -> bool {
    let changes = changes();
    changes.as_ref().is_some_and(|changes| changes.by_key.contains_key(&(theme, key.to_vec())))
}

/// Notes that a record has changed here.
pub fn note(theme: Theme, key: &[u8], value: Option<&[u8]>) {
    let mut changes = changes();
    let Some(changes) = changes.as_mut() else { return };
    if changes.by_key.is_empty() {
        shared_news::tell();
    }
    changes.bytes += key.len() + value.map_or(0, <[u8]>::len);
    changes.by_key.insert((theme, key.to_vec()), value.map(<[u8]>::to_vec));
    if changes.by_key.len() > MOST_CHANGES || changes.bytes > MOST_BYTES {
        *changes = Changes { is_cut: true, ..Changes::default() };
    }
}

/// Takes the changes since the last time.
pub fn take() -> Changes {
    changes().as_mut().map(mem::take).unwrap_or_default()
}

/// Tests with a mirror, one at a time.
#[cfg(test)]
pub(crate) fn with_mirror<T>(body: impl FnOnce() -> T) -> T {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let _noting = begin();
    take();
    body()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_waits_is_known() {
        with_mirror(|| {
            note(Theme::Servers, b"a", None);
            assert!(has_mirror() && is_noted(Theme::Servers, b"a"));
            assert!(!is_noted(Theme::Servers, b"b") && !is_noted(Theme::Health, b"a"));
            take();
            assert!(!is_noted(Theme::Servers, b"a"));
        });
    }

    #[test]
    fn changes_are_kept_for_a_mirror_within_limits() {
        with_mirror(|| {
            let note = |key: &str, value: Option<&[u8]>| note(Theme::Keyval, key.as_bytes(), value);
            drop(begin());
            note("a", Some(b"1"));
            assert!(take().by_key.is_empty() && !has_mirror());
            let noting = begin();
            assert!(take().is_cut);
            // Another mirror takes over before this one ends.
            let _noting = begin();
            drop(noting);
            assert!(has_mirror() && take().is_cut);
            note("a", Some(b"1"));
            note("a", Some(b"2"));
            note("b", None);
            let taken = take();
            assert_eq!(taken.by_key[&(Theme::Keyval, b"a".to_vec())], Some(b"2".to_vec()));
            // Other tests have sessions.
            let count = taken.by_key.keys().filter(|(theme, _)| *theme == Theme::Keyval).count();
            assert_eq!((count, taken.is_cut), (2, false));
            // Owners do not know any more what is noted as removed.
            note("c", None);
            recheck();
            let taken = take();
            assert!(taken.is_cut && taken.by_key.contains_key(&(Theme::Keyval, b"c".to_vec())));
            for number in 0..=MOST_CHANGES {
                note(&number.to_string(), None);
            }
            assert!(take().is_cut);
            let large = vec![0; MOST_BYTES / 2];
            (0..3).for_each(|_| note("large", Some(&large)));
            assert!(take().is_cut);
        });
    }
}
