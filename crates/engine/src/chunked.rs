//! A slab that grows in chunks: items never move, so growth neither copies nor leaves old memory
//! behind.

/// The number of items per chunk.
const PIECE: usize = 128;

/// The end of the free list.
const NONE: u32 = u32::MAX;

/// Items with reusable keys.
#[derive(Debug)]
pub(crate) struct Chunked<T> {
    pieces: Vec<Vec<Place<T>>>,
    /// The head of the free list.
    free: u32,
    len: usize,
}

#[derive(Debug)]
enum Place<T> {
    Used(T),
    /// The next free place.
    Free(u32),
}

impl<T> Default for Chunked<T> {
    fn default() -> Self {
        Self { pieces: Vec::new(), free: NONE, len: 0 }
    }
}

impl<T> Chunked<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The key of the next inserted item.
    pub(crate) fn next_key(&self) -> u32 {
        match self.free {
            NONE => match self.pieces.last() {
                Some(last) => ((self.pieces.len() - 1) * PIECE + last.len()) as u32,
                None => 0,
            },
            free => free,
        }
    }

    pub(crate) fn insert(&mut self, item: T) -> u32 {
        let key = self.next_key();
        self.len += 1;
        match self.place(key) {
            Some(place) => {
                if let Place::Free(next) = std::mem::replace(place, Place::Used(item)) {
                    self.free = next;
                }
            }
            None => {
                if self.pieces.last().is_none_or(|last| last.len() == PIECE) {
                    self.pieces.push(Vec::with_capacity(PIECE));
                }
                if let Some(last) = self.pieces.last_mut() {
                    last.push(Place::Used(item));
                }
            }
        }
        key
    }

    /// Removes an item. The memory is freed with the last one.
    pub(crate) fn remove(&mut self, key: u32) -> Option<T> {
        let free = self.free;
        let place = self.place(key).filter(|place| matches!(place, Place::Used(_)))?;
        let Place::Used(item) = std::mem::replace(place, Place::Free(free)) else { return None };
        self.free = key;
        self.len -= 1;
        if self.len == 0 && self.pieces.len() > 1 {
            *self = Self::default();
        }
        Some(item)
    }

    fn place(&mut self, key: u32) -> Option<&mut Place<T>> {
        self.pieces.get_mut(key as usize / PIECE)?.get_mut(key as usize % PIECE)
    }

    pub(crate) fn get(&self, key: u32) -> Option<&T> {
        match self.pieces.get(key as usize / PIECE)?.get(key as usize % PIECE)? {
            Place::Used(item) => Some(item),
            Place::Free(_) => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: u32) -> Option<&mut T> {
        match self.place(key)? {
            Place::Used(item) => Some(item),
            Place::Free(_) => None,
        }
    }

    /// All items with their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let places = self.pieces.iter().flatten();
        places.zip(0..).filter_map(|(place, key)| match place {
            Place::Used(item) => Some((key, item)),
            Place::Free(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_reused_and_items_stay() {
        let mut items = Chunked::default();
        let keys: Vec<u32> = (0..1000).map(|number| items.insert(number)).collect();
        assert_eq!(keys, (0..1000).collect::<Vec<_>>());
        for key in (0..1000).step_by(2) {
            assert_eq!(items.remove(key), Some(key));
            assert_eq!(items.remove(key), None);
        }
        assert_eq!((items.len(), items.next_key()), (500, 998));
        assert_eq!(items.insert(7), 998);
        assert_eq!(items.get(998), Some(&7));
        assert_eq!((items.get(0), items.get(1), items.get(5000)), (None, Some(&1), None));
        if let Some(item) = items.get_mut(1) {
            *item = 8;
        }
        let left: u32 = items.iter().map(|(key, item)| if key % 2 == 1 { *item } else { 0 }).sum();
        assert_eq!(left, (1..1000).step_by(2).sum::<u32>() + 7);
        for key in keys {
            items.remove(key);
        }
        assert_eq!((items.len(), items.next_key()), (0, 0));
    }

    #[test]
    fn a_place_is_as_small_as_its_item() {
        assert_eq!(size_of::<Place<std::net::SocketAddr>>(), size_of::<std::net::SocketAddr>());
    }
}
