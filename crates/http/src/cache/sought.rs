//! Responses whose variants are looked for among files that the index does not know yet: one walk
//! through the folder at a time, which looks for all that have been asked for since the last one.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::key::Digest;

/// The maximum number of responses that wait for the next walk; further requests walk themselves.
const MOST: usize = 1 << 16;

/// What the next walk looks for; None while there is no walk.
#[derive(Debug, Default)]
pub(super) struct Sought(Mutex<Option<HashSet<Digest>>>);

/// Who looks for a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seeker {
    /// The caller, with all that [`Sought::next`] names.
    All,
    /// The caller, for this response alone.
    Own,
    /// The walker that there is, when it has ended its walk.
    Other,
}

impl Sought {
    /// Asks for the variants of a response.
    pub(super) fn ask(&self, main: Digest) -> Seeker {
        let mut sought = self.lock();
        match &mut *sought {
            None => {
                *sought = Some(HashSet::from([main]));
                Seeker::All
            }
            Some(waiting) if waiting.len() >= MOST && !waiting.contains(&main) => Seeker::Own,
            Some(waiting) => {
                waiting.insert(main);
                Seeker::Other
            }
        }
    }

    /// What the walker is to look for next; None to end.
    pub(super) fn next(&self) -> Option<HashSet<Digest>> {
        let mut sought = self.lock();
        let waiting = sought.as_mut().map(std::mem::take).filter(|waiting| !waiting.is_empty());
        if waiting.is_none() {
            *sought = None;
        }
        waiting
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashSet<Digest>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_walker_looks_for_all() {
        let [one, two, three] = [b"1", b"2", b"3"].map(|key| Digest::of(key));
        let sought = Sought::default();
        assert_eq!(sought.ask(one), Seeker::All);
        assert_eq!(sought.next(), Some(HashSet::from([one])));
        for digest in [two, three, two] {
            assert_eq!(sought.ask(digest), Seeker::Other);
        }
        assert_eq!(sought.next(), Some(HashSet::from([two, three])));
        assert_eq!(sought.next(), None);
        assert_eq!(sought.ask(one), Seeker::All);
    }

    #[test]
    fn few_wait() {
        let sought = Sought::default();
        assert_eq!(sought.ask(Digest::of(b"first")), Seeker::All);
        for number in 1..MOST {
            assert_eq!(sought.ask(Digest::of(&number.to_le_bytes())), Seeker::Other);
        }
        assert_eq!(sought.ask(Digest::of(b"one more")), Seeker::Own);
        assert_eq!(sought.ask(Digest::of(b"first")), Seeker::Other);
    }
}
