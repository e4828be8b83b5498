//! The places of groups in the tables that each thread has, such as that of kept connections. A
//! group has its place for as long as a configuration has the group; then another group takes it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// A group's place, which its holders keep.
#[derive(Debug)]
pub struct Place {
    id: PlaceId,
    key: String,
    places: Weak<Mutex<Taken>>,
}

/// A group's index in the tables of all threads, and its term there: an index that is taken again
/// has another term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceId {
    index: usize,
    term: u64,
}

impl Place {
    /// What finds the group's entry in a table, also while nobody holds the place any more.
    pub fn id(&self) -> PlaceId {
        self.id
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(places) = self.places.upgrade() else { return };
        let mut places = places.lock().unwrap_or_else(PoisonError::into_inner);
        places.free.push(self.id.index);
        // The group may have come back meanwhile, at another index.
        if places.by_key.get(&self.key).is_some_and(|(term, _)| *term == self.id.term) {
            places.by_key.remove(&self.key);
        }
    }
}

/// The places of a process, by the key of the group.
#[derive(Debug, Default)]
pub(crate) struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    by_key: HashMap<String, (u64, Weak<Place>)>,
    /// Indices that no group has any more.
    free: Vec<usize>,
    /// The number of indices, the largest number of groups so far that were there together.
    indices: usize,
    /// The last term. Terms begin with 1.
    terms: u64,
}

impl Places {
    /// The place of a group, which it has or gets. Looked up once per configuration, so that
    /// requests look no names up.
    pub(crate) fn of(&self, key: &str) -> Arc<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = taken.by_key.get(key).and_then(|(_, place)| place.upgrade()) {
            return place;
        }
        let index = taken.free.pop().unwrap_or_else(|| {
            taken.indices += 1;
            taken.indices - 1
        });
        taken.terms += 1;
        let term = taken.terms;
        let (id, places) = (PlaceId { index, term }, Arc::downgrade(&self.0));
        let place = Arc::new(Place { id, key: key.to_owned(), places });
        taken.by_key.insert(key.to_owned(), (term, Arc::downgrade(&place)));
        place
    }
}

/// What one thread has for each group.
#[derive(Debug)]
pub struct ByPlace<T>(Vec<Entry<T>>);

#[derive(Debug)]
struct Entry<T> {
    /// That of the group, or 0 for none.
    term: u64,
    /// Whether the group is still there.
    place: Weak<Place>,
    value: T,
}

impl<T> Default for ByPlace<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> ByPlace<T> {
    /// An empty table.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The entry of a group, if it has one.
    pub fn get(&mut self, id: PlaceId) -> Option<&mut T> {
        let entry = self.0.get_mut(id.index)?;
        (entry.term == id.term).then_some(&mut entry.value)
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|entry| &entry.value)
    }

    /// All entries.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().map(|entry| &mut entry.value)
    }
}

impl<T: Default> ByPlace<T> {
    /// The entry of a group, made if it has none; and what a group that is gone left there.
    pub fn entry(&mut self, place: &Arc<Place>) -> (&mut T, Option<T>) {
        let PlaceId { index, term } = place.id;
        if self.0.len() <= index {
            let vacant = || Entry { term: 0, place: Weak::new(), value: T::default() };
            self.0.resize_with(index + 1, vacant);
        }
        let entry = &mut self.0[index];
        if entry.term == term {
            return (&mut entry.value, None);
        }
        let left = std::mem::take(&mut entry.value);
        let left = (entry.term != 0).then_some(left);
        (entry.term, entry.place) = (term, Arc::downgrade(place));
        (&mut entry.value, left)
    }

    /// Removes the entries of groups that no configuration has any more.
    pub fn take_gone(&mut self) -> Vec<T> {
        let gone = |entry: &&mut Entry<T>| entry.term != 0 && entry.place.strong_count() == 0;
        let take = |entry: &mut Entry<T>| {
            (entry.term, entry.place) = (0, Weak::new());
            std::mem::take(&mut entry.value)
        };
        self.0.iter_mut().filter(gone).map(take).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_keeps_its_place_while_it_is_held() {
        let places = Places::default();
        let one = places.of("one");
        assert_eq!(places.of("one").id(), one.id());
        assert_ne!(places.of("two").id(), one.id());
    }

    #[test]
    fn places_do_not_grow_with_the_names_of_groups() {
        let places = Places::default();
        let _stays = places.of("stays");
        for name in 0..100 {
            places.of(&name.to_string());
        }
        let taken = places.0.lock().unwrap();
        assert_eq!((taken.indices, taken.by_key.len()), (2, 1));
    }

    #[test]
    fn what_a_group_left_is_not_the_next_ones() {
        let (places, mut table) = (Places::default(), ByPlace::<Vec<u8>>::new());
        let old = places.of("old");
        table.entry(&old).0.push(1);
        let gone = old.id();
        assert!(table.take_gone().is_empty());
        drop(old);
        let new = places.of("new");
        assert_eq!((new.id().index, table.get(new.id())), (gone.index, None));
        assert_eq!(table.entry(&new), (&mut vec![], Some(vec![1])));
        assert_eq!(table.get(gone), None);
        table.entry(&new).0.push(2);
        drop(new);
        assert_eq!(table.take_gone(), [vec![2]]);
        assert!(table.take_gone().is_empty());
    }
}
